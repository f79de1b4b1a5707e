# The network's domain as one object, $(network_object): lwIP with its glue (net/lwip.mk), and what it shares
# with nobody: object allocator, timers, parcels, epochs and counters, the kernel's code once more with data of
# its own. Its sections are the linker script's .network.*, a part of the image with a key of its own
# (arch/x86_64/isolation.h).

network_object := $(BUILD)/network/network.o

network_copies := arch/print.c mm/object.c sched/timer.c smp/counters.c smp/epoch.c smp/parcel.c
network_domain_sources := $(filter-out net/domain/user_copy.c,$(wildcard net/domain/*.c))
# Of all their names, what the kernel reads.
network_shown := counters object_bytes_in_use timer_next_ns
# What else is told apart by its name, too.
network_renamed := user_copy __stack_chk_guard
# Functions that the kernel calls as they are: at boot, with its own rights; or they read one thing.
# these only look (net/look.h);
network_ungated := look_events look_received look_take look_room look_leave \
	network_init network_init_core socket_is_datagram \
	receive_queue_create receive_queue_start receive_queue_destroy \
	transmit_queue_create transmit_queue_destroy virtqueue_create virtqueue_destroy virtqueue_stop

objects_of = $(patsubst %,$(BUILD)/kernel/%.o,$(1))
network_own_objects := $(call objects_of,$(network_copies) $(network_domain_sources))
# It calls the kernel's function of that name.
network_user_copy := $(call objects_of,net/domain/user_copy.c)

# The names of the kernel's that these take here stay inside.
$(network_object): $(lwip_object) $(network_own_objects) $(network_user_copy) net/domain.mk
	$(quiet) LD $@
	@mkdir -p $(@D)
	$(Q)$(LD) -r -o $@.inner $(lwip_object) $(network_own_objects)
	$(Q)$(NM) -g --defined-only $(network_own_objects) | awk 'NF == 3 && $$3 !~ /^network_/ { print $$3 }' | \
		grep -vx $(patsubst %,-e %,$(network_shown)) > $@.local
	$(Q)$(OBJCOPY) --localize-symbols=$@.local $(foreach name,$(network_renamed) $(network_shown),\
		--redefine-sym $(name)=network_$(name)) $@.inner
	$(Q)$(LD) -r -o $@.whole $@.inner $(network_user_copy)
	$(Q)$(OBJDUMP) -h $@.whole | awk '$$2 ~ /^\.(text|data|bss|core_window)/ && $$2 !~ /^\.data\.rel\.ro/ { \
		print "--rename-section " $$2 "=.network" $$2 }' > $@.sections
	$(Q)$(OBJCOPY) @$@.sections $@.whole $@
	@rm -f $@.inner $@.local $@.whole $@.sections

-include $(network_own_objects:.o=.d) $(network_user_copy:.o=.d)
