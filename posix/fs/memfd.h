/*
 * fcntl()'s commands about seals.
 */
#pragma once

struct file;

long seals_get(struct file *file);
long seals_add(struct file *file, unsigned seals);
