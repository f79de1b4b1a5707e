/* The sorted set of areas. See area_tree.h; AVL trees: Knuth, volume 3, 6.2.3. */
#include "mm/area_tree.h"

#include "lavra/console.h"

static unsigned height(const struct area *area)
{
	return area ? area->height : 0;
}

/* What a node says of its subtree, from what its children say of theirs. */
static void summarise(struct area *area)
{
	const struct area *left = area->left, *right = area->right;

	area->height = 1 + max(height(left), height(right));
	area->first = left ? left->first : area->start;
	area->last = right ? right->last : area->end;
	area->gap = 0;
	if (left)
		area->gap = max(left->gap, area->start - left->last);
	if (right)
		area->gap = max(area->gap, max(right->gap, right->first - area->end));
}

static struct area *rotate_right(struct area *area)
{
	struct area *left = area->left;

	area->left = left->right;
	left->right = area;
	summarise(area);
	summarise(left);
	return left;
}

static struct area *rotate_left(struct area *area)
{
	struct area *right = area->right;

	area->right = right->left;
	right->left = area;
	summarise(area);
	summarise(right);
	return right;
}

/* The subtree's new root. Its sides may differ in height by at most two. */
static struct area *rebalance(struct area *area)
{
	if (height(area->left) > height(area->right) + 1) {
		if (height(area->left->left) < height(area->left->right))
			area->left = rotate_left(area->left);
		return rotate_right(area);
	}
	if (height(area->right) > height(area->left) + 1) {
		if (height(area->right->right) < height(area->right->left))
			area->right = rotate_right(area->right);
		return rotate_left(area);
	}
	summarise(area);
	return area;
}

/* The recursions go as deep as the tree is high: 1.44 * log2 of the number of areas. */

static struct area *insert_below(struct area *root, struct area *area)
{
	if (!root) {
		area->left = area->right = NULL;
		summarise(area);
		return area;
	}
	if (area->start < root->start) {
		assert(area->end <= root->start);
		root->left = insert_below(root->left, area);
	} else {
		assert(area->start >= root->end);
		root->right = insert_below(root->right, area);
	}
	return rebalance(root);
}

/* Take the lowest area out of the subtree. */
static struct area *remove_lowest(struct area *root, struct area **lowest)
{
	if (!root->left) {
		*lowest = root;
		return root->right;
	}
	root->left = remove_lowest(root->left, lowest);
	return rebalance(root);
}

static struct area *remove_below(struct area *root, struct area *area)
{
	struct area *heir;

	assert(root);
	if (area->start < root->start) {
		root->left = remove_below(root->left, area);
	} else if (area->start > root->start) {
		root->right = remove_below(root->right, area);
	} else {
		assert(root == area);
		if (!root->right)
			return root->left;
		root->right = remove_lowest(root->right, &heir);
		heir->left = root->left;
		heir->right = root->right;
		root = heir;
	}
	return rebalance(root);
}

static void summarise_path(struct area *root, const struct area *area)
{
	if (root != area)
		summarise_path(area->start < root->start ? root->left : root->right, area);
	summarise(root);
}

void tree_insert(struct area **root, struct area *area)
{
	assert(area->start < area->end);
	*root = insert_below(*root, area);
}

void tree_remove(struct area **root, struct area *area)
{
	*root = remove_below(*root, area);
}

void tree_resize(struct area *root, struct area *area, vaddr_t start, vaddr_t end)
{
	assert(start < end);
	area->start = start;
	area->end = end;
	summarise_path(root, area);
}

struct area *tree_find(struct area *root, vaddr_t address)
{
	struct area *best = NULL;

	while (root) {
		if (root->end > address) {
			best = root;
			root = root->left;
		} else {
			root = root->right;
		}
	}
	return best;
}

vaddr_t tree_find_gap(const struct area *root, vaddr_t low, vaddr_t high, size_t length,
		      size_t align)
{
	vaddr_t address;

	if (high < low || high - low < length)
		return 0;
	if (!root) {
		address = align_down(high - length, align);
		return address >= low ? address : 0;
	}
	/* Can any gap between `low`, the areas and `high` be long enough? */
	if (root->gap < length && (root->first < low || root->first - low < length) &&
	    (high < root->last || high - root->last < length))
		return 0;
	address = tree_find_gap(root->right, max(root->end, low), high, length, align);
	if (!address)
		address = tree_find_gap(root->left, low, min(root->start, high), length, align);
	return address;
}
