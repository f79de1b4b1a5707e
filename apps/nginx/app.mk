# nginx in one process, with gzip and rewriting.
app_packages := nginx zlib pcre2
# Its configure, and the one that it calls, run what they compile, so those programs are made for this
# machine.
app_configure = cd nginx && export LAVRA_TARGET=linux $(app_compiler) && ./configure --with-cc=lavra-gcc \
	--with-cc-opt='$(app_cflags_package)' --crossbuild=Linux:6.1:x86_64 \
	--prefix=/srv --conf-path=/etc/nginx/nginx.conf --pid-path=/run/nginx.pid \
	--lock-path=/run/nginx.lock --error-log-path=stderr --http-log-path=/dev/stdout \
	--http-client-body-temp-path=/tmp/body --http-proxy-temp-path=/tmp/proxy \
	--http-fastcgi-temp-path=/tmp/fastcgi --http-uwsgi-temp-path=/tmp/uwsgi \
	--http-scgi-temp-path=/tmp/scgi --with-threads --with-http_stub_status_module \
	--with-zlib=../zlib --with-pcre=../pcre2 && $(MAKE) -f objs/Makefile ../pcre2/Makefile
app_build = $(app_compiler) $(MAKE) -C nginx
app_program := nginx/objs/nginx
