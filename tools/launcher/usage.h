/* What `lavra --help` and `lavra run --help` say. */
#pragma once

extern const char usage[];
