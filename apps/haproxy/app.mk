# HAProxy with threads, its own compression, and no libraries. It takes as many threads as cores.
app_packages := haproxy
app_configure = true
# The second line: what needs other processes, other networks or Linux's firewall.
haproxy_options := TARGET=linux-musl USE_SLZ=1 USE_THREAD=1 USE_EPOLL=1 USE_POLL=1 \
	USE_NS= USE_TPROXY= USE_LINUX_TPROXY= USE_NETFILTER= USE_LINUX_SPLICE= USE_DL= USE_SHM_OPEN=
app_build = $(app_compiler) $(MAKE) -C haproxy haproxy CC=lavra-gcc LD=lavra-gcc \
	CPU_CFLAGS='$(app_cflags_package)' DEBUG_CFLAGS= $(haproxy_options)
app_program := haproxy/haproxy
app_arguments := -db -f /etc/haproxy/haproxy.cfg
