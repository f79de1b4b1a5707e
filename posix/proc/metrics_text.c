#include "posix/fs/pseudo.h"
#include "posix/proc/metrics.h"
#include "posix/proc/totals.h"

#include "lavra/counters.h"

static const struct {
	const char *name, *help;
} families[] = {
#define X(name, help) { #name, help },
	COUNTERS(X)
#undef X
};

void metrics_print(struct text *text)
{
	for (unsigned i = 0; i < array_size(families); i++) {
		text_print(text, "# HELP lavra_%s_total %s\n# TYPE lavra_%s_total counter\n",
			   families[i].name, families[i].help, families[i].name);
		for (core_id_t core = 0; core < ncores; core++) {
			struct counters counted = counters_of(core);

			text_print(text, "lavra_%s_total{core=\"%u\"} %lu\n", families[i].name,
				   core, ((const uint64_t *)&counted)[i]);
		}
		/* There may be many cores, and others have something to do. */
		thread_yield();
	}
#define X(name, value, help)                                                                       \
	text_print(text,                                                                           \
		   "# HELP lavra_" #name " " help "\n# TYPE lavra_" #name " gauge\nlavra_" #name   \
		   " %lu\n",                                                                       \
		   (unsigned long)(value));
	TOTALS(X)
#undef X
}
