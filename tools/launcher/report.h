/*
 * What there is to tell of an image, as JSON.
 */
#pragma once

#include "tools/launcher/image_file.h"

#include <jansson.h>

/* `file` is the image; `named` is the same with symbols, or itself, or NULL. The caller gives it back. */
json_t *report_of(const struct image_file *file, const struct image_file *named);
