# The Open POSIX Test Suite: all its programs in one image, each with its main() under a name of its
# own; the first argument chooses one.
suite := $(BUILD)/tests/conformance/suite

$(suite)/suite.a: tests/conformance/compile tools/sources.list $(BUILD)/app.flags \
		$(sysroot)/compiler.done $(sysroot)/lib/libc.a
	$(quiet) SUITE $@
	$(Q)tools/fetch $(source_folder) posixtestsuite
	$(Q)CC='$(abspath $(lavra_gcc))' AR='$(AR)' NM='$(NM)' OBJCOPY='$(OBJCOPY)' \
		LIBC=$(sysroot)/lib/libc.a tests/conformance/compile \
		$(source_folder)/posixtestsuite $(suite) $(app_cflags)

app_flags += -I$(suite)
app_libraries += $(suite)/suite.a
# The table of programs is made with the archive.
$(BUILD)/tests/conformance/objects/tests/conformance/main.c.o: $(suite)/suite.a
