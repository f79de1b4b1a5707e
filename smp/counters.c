#include "lavra/counters.h"

#include "smp/core.h"
#include "smp/window.h"

CORE_LOCAL struct counters counters;

const struct counters *counters_of(core_id_t core)
{
	return core_local_of(core, counters);
}
