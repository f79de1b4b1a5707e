#include "arch/x86_64/user_access.h"

#include "arch/x86_64/trap.h"

extern const char user_access_start[], user_access_end[], user_access_error[]; /* user_access.S */

struct user_keys user_keys CACHE_ALIGNED;
CORE_LOCAL uint32_t user_rights_lent;

bool user_exchange_word(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *old);

int user_compare_exchange(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *old)
{
	return user_exchange_word(word, expected, desired, old) ? 0 : -1;
}

bool user_access_failed(struct trap_frame *frame)
{
	if (frame->rip < (uint64_t)user_access_start || frame->rip >= (uint64_t)user_access_end)
		return false;
	frame->rip = (uint64_t)user_access_error;
	return true;
}
