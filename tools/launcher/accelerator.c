#include "tools/launcher/accelerator.h"

#include "tools/launcher/lavra.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Does the processor have what KVM needs? */
static bool cpu_has_virtualization(void)
{
	char *line = NULL;
	size_t size = 0;
	bool found = false;
	FILE *file = fopen("/proc/cpuinfo", "re");

	if (!file)
		return false;
	while (!found && getline(&line, &size, file) > 0)
		if (!strncmp(line, "flags", 5)) {
			for (char *word = strtok(line, " \t\n"); word; word = strtok(NULL, " \t\n"))
				found |= !strcmp(word, "vmx") || !strcmp(word, "svm");
			break; /* all processors are alike */
		}
	free(line);
	fclose(file);
	return found;
}

bool device_opens(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

bool accelerator_is_kvm(const struct options *options)
{
	enum accelerator accelerator = options->accelerator;
	bool cpu = cpu_has_virtualization();
	bool device = device_opens("/dev/kvm");
	int error = errno;

	if (accelerator == ACCELERATOR_TCG)
		return false;
	if (accelerator == ACCELERATOR_KVM && !cpu)
		refuse(EXIT_CANNOT,
		       "no KVM: this processor shows neither VMX nor SVM (use --accel tcg)");
	if (accelerator == ACCELERATOR_KVM && !device)
		refuse(EXIT_CANNOT, "no KVM: /dev/kvm: %s (use --accel tcg)", strerror(error));
	if (cpu && !device && !options->dry_run)
		fprintf(stderr, "lavra: /dev/kvm: %s; going on without KVM, which is slower\n",
			strerror(error));
	return cpu && device;
}
