/* The template to copy: a folder under apps/ with a main() becomes an image. */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	printf("Hello from %s on %ld cores.\n", argv[0], sysconf(_SC_NPROCESSORS_ONLN));
	for (int i = 1; i < argc; i++)
		printf("argument %d: %s\n", i, argv[i]);
	return 0;
}
