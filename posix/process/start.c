/*
 * The start of an application that is linked with the image: what crt1 does under Linux.
 */
#include "posix/process/start.h"

#include "posix/fs/pseudo.h"
#include "posix/process/start_block.h"

#include "arch/arch.h"
#include "lavra/boot_option.h"
#include "lavra/console.h"
#include "sched/thread.h"

#include <elf.h>

#define EXECUTABLE "/app"

/* Of the application and the C library: posix/ is linked against them last. */
int main(int argc, char **argv, char **envp);
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
		      void (*fini)(void), void (*unused)(void));
__attribute__((weak)) void _init(void);
__attribute__((weak)) void _fini(void);

/* The ELF header of the image, which the linker script keeps in its first page. */
extern const char image_start[];

/* The application's first function: it has an application's rights, so it touches nothing of the
 * kernel's, not even the canary of its stacks. Does not return: main's result goes to exit(). */
__attribute__((optimize("no-stack-protector"))) static void run_application(unsigned long *block)
{
	__libc_start_main(main, block[0], (char **)(block + 1), _init, _fini, NULL);
	__builtin_trap();
}

static void enter_application(void *block)
{
	/* As after a call: 8 bytes beneath a multiple of 16. */
	arch_enter_application((vaddr_t)run_application, (vaddr_t)block, (char *)block - 8);
}

/* In a section of its own: with the one that takes its place it would be kept, and want a
 * main(). */
__attribute__((weak, section(".text.start_linked_application"))) void start_application(void)
{
	const Elf64_Ehdr *header = (const void *)image_start;
	struct start_program program = {
		.path = EXECUTABLE,
		.headers = (vaddr_t)image_start + header->e_phoff,
		.header_size = header->e_phentsize,
		.nheaders = header->e_phnum,
		.entry = (vaddr_t)main,
	};
	void *stack_end = start_stack_create();
	unsigned long *block = NULL;

	program.argc = boot_argc;
	program.argv = boot_argv;
	if (stack_end)
		block = start_block_build(stack_end, &program);
	if (!block)
		panic("no memory for the application's stack");
	console_files_open();
	if (arch_isolation())
		thread_use_syscall_stacks();
	if (!thread_create_main(enter_application, block, block))
		panic("no memory for the application's first thread");
}
