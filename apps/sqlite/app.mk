# speedtest1, SQLite's own measure of itself, on a database in a file.
app_packages := sqlite3
app_configure = cd sqlite3 && $(app_compiler) ./configure --host=x86_64-linux-musl --disable-tcl \
	--disable-shared --disable-readline && $(MAKE) sqlite3.c
app_build = cd sqlite3 && $(app_compiler) && lavra-gcc $(app_cflags_package) -DSQLITE_THREADSAFE=1 -I. \
	-o speedtest1 test/speedtest1.c sqlite3.c
app_program := sqlite3/speedtest1
app_arguments := --size 20 /tmp/speedtest.db
