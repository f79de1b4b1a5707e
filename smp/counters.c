#include "lavra/counters.h"

#include "smp/core.h"
#include "smp/window.h"

CORE_LOCAL struct counters counters;

static READ_MOSTLY const struct counters *others;

void counters_add_domain(const struct counters *counters)
{
	others = counters;
}

struct counters counters_of(core_id_t core)
{
	struct counters sum = *core_local_of(core, counters);
	const struct counters *more = others ? window_address_of(core, others) : NULL;

	if (more) {
#define X(name, help) sum.name += more->name;
		COUNTERS(X)
#undef X
	}
	return sum;
}
