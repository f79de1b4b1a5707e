/* A page source that has become shorter. See page_source.h. */
#include "mm/page_source.h"

#include "lavra/console.h"
#include "mm/area_set.h"

/* Unmap what the area has of the source from `first_gone_page` on. */
static void forget_pages(const struct area *area, uint64_t first_gone_page)
{
	vaddr_t start = area->start;

	if (source_page_at(area, area->end) <= first_gone_page)
		return;
	if (area->first_page < first_gone_page)
		start += (first_gone_page - area->first_page) << PAGE_SHIFT;
	if (pages_drop(start, area->end))
		panic("mm: the pages of a file cannot be unmapped");
}

void page_source_shrunk(struct page_source *source, uint64_t first_gone_page)
{
	struct area *area;

	/* The source's end was moved before this look; whoever adds a mapping now asks for pages
	 * after it was counted, and then meets the new end. A full fence, hence the addition. */
	if (!__atomic_fetch_add(&source->nmappings, 0, __ATOMIC_SEQ_CST))
		return;
	areas_lock();
	for (area = tree_find(areas, 0); area; area = tree_find(areas, area->end))
		if (area->source == source)
			forget_pages(area, first_gone_page);
	areas_unlock();
}
