# memcached with libevent. As many worker threads as cores.
app_packages := memcached libevent

app_configure = \
	(cd libevent && $(app_compiler) CFLAGS='$(app_cflags_package)' ./configure \
		--host=x86_64-linux-musl --disable-shared --disable-openssl --disable-samples \
		--disable-libevent-regress --disable-debug-mode --prefix='' && \
		$(app_compiler) $(MAKE) && $(MAKE) install DESTDIR="$$PWD/../installed") && \
	(cd memcached && $(app_compiler) CFLAGS='$(app_cflags_package)' ./configure \
		--host=x86_64-linux-musl --with-libevent="$$PWD/../installed" --disable-docs --disable-coverage)
app_build = $(app_compiler) $(MAKE) -C memcached memcached
app_port := 11211
app_program := memcached/memcached
app_arguments := -t $$CORES -m 64 -c 4096
