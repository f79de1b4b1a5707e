/* Memory, all of it, in order. */
#include "mm/mm.h"

#include "lavra/console.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/object.h"

void mm_init(const struct boot_info *info)
{
	frame_init(info);
	object_init();
	object_init_core();
	kva_init();
	area_init();
	kprintf("memory: %zu MiB usable\n", frame_total() >> (20 - PAGE_SHIFT));
}

void mm_init_core(void)
{
	object_init_core();
}
