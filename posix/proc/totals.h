/*
 * Numbers of the whole machine, as /proc/lavra/totals and /metrics tell them: a line for each, at the end.
 */
#pragma once

#include "arch/arch.h"
#include "mm/area.h"
#include "mm/frame.h"
#include "mm/object.h"
#include "net/domain/poll.h"
#include "net/socket.h"
#include "posix/file/file.h"
#include "posix/fs/inode.h"
#include "posix/socket/unix_socket.h"
#include "sched/thread.h"
#include "smp/core.h"

#define TOTALS(X)                                                                                  \
	X(cores, ncores, "cores")                                                                  \
	X(uptime_ns, clock_ns(), "time since boot, in nanoseconds")                                \
	X(threads, thread_count(), "application threads")                                          \
	X(descriptors, fd_count(), "open descriptors")                                             \
	X(sockets, socket_count(), "sockets")                                                      \
	X(tcp_control_blocks, tcp_control_block_count(), "TCP control blocks")                     \
	X(tcp_time_wait, tcp_time_wait_count(), "TCP control blocks in TIME_WAIT")                 \
	X(pages_total, frame_total(), "pages of memory")                                           \
	X(pages_free, frame_free_count(), "pages of memory that are free")                         \
	X(pages_mapped, area_resident_pages(), "pages that the application has mapped")            \
	X(object_bytes, object_bytes_in_use() + network_object_bytes_in_use(),                     \
	  "bytes in the kernel's and the network's objects")                                       \
	X(inodes, inode_count(), "files, directories and the like")                                \
	X(local_sockets, unix_socket_count(), "local sockets")                                     \
	X(files_in_flight, unix_files_in_flight(), "files on their way in local sockets")
