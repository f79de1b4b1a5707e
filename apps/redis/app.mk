# Redis with its own Lua and hiredis, and as many I/O threads as cores.
app_packages := redis
app_configure = true
app_build = $(app_compiler) CFLAGS='$(app_cflags_package)' $(MAKE) -C redis/src redis-server MALLOC=libc \
	BUILD_TLS=no USE_SYSTEMD=no
app_program := redis/src/redis-server
app_arguments := /etc/redis/redis.conf --io-threads $$CORES
app_port := 6379
