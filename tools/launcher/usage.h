/* What `lavra run --help` says. */
#pragma once

extern const char run_usage[];
