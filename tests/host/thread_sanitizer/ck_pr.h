/*
 * Concurrency Kit's atomic operations in words that ThreadSanitizer understands.
 *
 * The library writes them in assembly, which the sanitizer does not see, so that it would
 * report every use of a ring. On x86 a load acquires, a store releases, and a locked
 * instruction does both; here they say so. Found before the library's header of this
 * name; everything else of the library is its own.
 */
#ifndef CK_PR_H
#define CK_PR_H

#include <ck_cc.h>
#include <ck_limits.h>
#include <ck_md.h>
#include <ck_stdbool.h>
#include <ck_stdint.h>

/* What is here, in the words that the library asks for it. */
#define CK_F_PR
#define CK_F_PR_LOAD_64
#define CK_F_PR_LOAD_PTR
#define CK_F_PR_STORE_64
#define CK_F_PR_STORE_PTR
#define CK_F_PR_CAS_PTR
#define CK_F_PR_CAS_PTR_VALUE
#define CK_F_PR_CAS_PTR_2
#define CK_F_PR_CAS_PTR_2_VALUE
#define CK_F_PR_CAS_64
#define CK_F_PR_CAS_64_VALUE
#define CK_F_PR_CAS_UINT
#define CK_F_PR_CAS_UINT_VALUE
#define CK_F_PR_CAS_32
#define CK_F_PR_CAS_32_VALUE
#define CK_F_PR_FAS_PTR
#define CK_F_PR_FAS_UINT
#define CK_F_PR_FAA_UINT
#define CK_F_PR_FAA_64
#define CK_F_PR_INC_UINT
#define CK_F_PR_DEC_UINT

static inline void ck_pr_barrier(void)
{
	__asm__ __volatile__("" ::: "memory");
}

static inline void ck_pr_stall(void)
{
	__asm__ __volatile__("pause" ::: "memory");
}

static inline void ck_pr_rfo(const void *address)
{
	(void)address;
}

/* The order that the sanitizer has to know is in the loads and stores; these keep the compiler, and
 * between a store and a load the processor, from changing it. */
#define FENCE(kind, instruction)                                                                   \
	static inline void ck_pr_fence_##kind(void)                                                \
	{                                                                                          \
		__asm__ __volatile__(instruction ::: "memory");                                    \
	}                                                                                          \
	static inline void ck_pr_fence_strict_##kind(void)                                         \
	{                                                                                          \
		__asm__ __volatile__("mfence" ::: "memory");                                       \
	}
FENCE(load_depends, "")
FENCE(atomic, "")
FENCE(atomic_load, "")
FENCE(atomic_store, "")
FENCE(store_atomic, "")
FENCE(load_atomic, "")
FENCE(load_store, "")
FENCE(store_load, "mfence")
FENCE(load, "")
FENCE(store, "")
FENCE(memory, "mfence")
FENCE(acquire, "")
FENCE(release, "")
FENCE(acqrel, "")
FENCE(lock, "")
FENCE(unlock, "")
#undef FENCE

#define ACCESS(name, type, pointed)                                                                \
	static inline type ck_pr_md_load_##name(const pointed *target)                             \
	{                                                                                          \
		return __atomic_load_n((type const *)target, __ATOMIC_ACQUIRE);                    \
	}                                                                                          \
	static inline void ck_pr_md_store_##name(pointed *target, type value)                      \
	{                                                                                          \
		__atomic_store_n((type *)target, value, __ATOMIC_RELEASE);                         \
	}                                                                                          \
	static inline type ck_pr_fas_##name(pointed *target, type value)                           \
	{                                                                                          \
		return __atomic_exchange_n((type *)target, value, __ATOMIC_ACQ_REL);               \
	}                                                                                          \
	static inline bool ck_pr_cas_##name(pointed *target, type compare, type set)               \
	{                                                                                          \
		return __atomic_compare_exchange_n((type *)target, &compare, set, false,           \
						   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);            \
	}                                                                                          \
	static inline bool ck_pr_cas_##name##_value(pointed *target, type compare, type set,       \
						    pointed *value)                                \
	{                                                                                          \
		bool done = __atomic_compare_exchange_n((type *)target, &compare, set, false,      \
							__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);       \
                                                                                                   \
		*(type *)value = compare;                                                          \
		return done;                                                                       \
	}

#define ARITHMETIC(name, type)                                                                     \
	ACCESS(name, type, type)                                                                   \
	static inline type ck_pr_faa_##name(type *target, type value)                              \
	{                                                                                          \
		return __atomic_fetch_add(target, value, __ATOMIC_ACQ_REL);                        \
	}                                                                                          \
	static inline void ck_pr_add_##name(type *target, type value)                              \
	{                                                                                          \
		__atomic_fetch_add(target, value, __ATOMIC_ACQ_REL);                               \
	}                                                                                          \
	static inline void ck_pr_sub_##name(type *target, type value)                              \
	{                                                                                          \
		__atomic_fetch_sub(target, value, __ATOMIC_ACQ_REL);                               \
	}                                                                                          \
	static inline void ck_pr_and_##name(type *target, type value)                              \
	{                                                                                          \
		__atomic_fetch_and(target, value, __ATOMIC_ACQ_REL);                               \
	}                                                                                          \
	static inline void ck_pr_or_##name(type *target, type value)                               \
	{                                                                                          \
		__atomic_fetch_or(target, value, __ATOMIC_ACQ_REL);                                \
	}                                                                                          \
	static inline void ck_pr_xor_##name(type *target, type value)                              \
	{                                                                                          \
		__atomic_fetch_xor(target, value, __ATOMIC_ACQ_REL);                               \
	}                                                                                          \
	static inline void ck_pr_inc_##name(type *target)                                          \
	{                                                                                          \
		ck_pr_add_##name(target, 1);                                                       \
	}                                                                                          \
	static inline void ck_pr_dec_##name(type *target)                                          \
	{                                                                                          \
		ck_pr_sub_##name(target, 1);                                                       \
	}                                                                                          \
	static inline bool ck_pr_inc_##name##_is_zero(type *target)                                \
	{                                                                                          \
		return __atomic_add_fetch(target, 1, __ATOMIC_ACQ_REL) == 0;                       \
	}                                                                                          \
	static inline bool ck_pr_dec_##name##_is_zero(type *target)                                \
	{                                                                                          \
		return __atomic_sub_fetch(target, 1, __ATOMIC_ACQ_REL) == 0;                       \
	}                                                                                          \
	static inline void ck_pr_inc_##name##_zero(type *target, bool *zero)                       \
	{                                                                                          \
		*zero = ck_pr_inc_##name##_is_zero(target);                                        \
	}                                                                                          \
	static inline void ck_pr_dec_##name##_zero(type *target, bool *zero)                       \
	{                                                                                          \
		*zero = ck_pr_dec_##name##_is_zero(target);                                        \
	}

ACCESS(ptr, void *, void)
ARITHMETIC(64, uint64_t)
ARITHMETIC(32, uint32_t)
ARITHMETIC(16, uint16_t)
ARITHMETIC(8, uint8_t)
ARITHMETIC(uint, unsigned int)
ARITHMETIC(int, int)
ARITHMETIC(char, char)
#undef ACCESS
#undef ARITHMETIC

/* Two words at once, through the 16-byte instruction, which the sanitizer's runtime knows. */
static inline bool ck_pr_cas_ptr_2_value(void *target, void *compare, void *set, void *value)
{
	unsigned __int128 *wide = target, expected, desired;
	bool done;

	__builtin_memcpy(&expected, compare, sizeof(expected));
	__builtin_memcpy(&desired, set, sizeof(desired));
	done = __atomic_compare_exchange_n(wide, &expected, desired, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
	__builtin_memcpy(value, &expected, sizeof(expected));
	return done;
}

static inline bool ck_pr_cas_ptr_2(void *target, void *compare, void *set)
{
	void *ignored[2];

	return ck_pr_cas_ptr_2_value(target, compare, set, ignored);
}

/* The destination's type is checked against the value's. */
#define CK_PR_STORE_SAFE(target, value, name)                                                      \
	ck_pr_md_store_##name(((void)sizeof(*(target) = (value)), (target)), (value))
#define ck_pr_store_ptr(target, value)                                                             \
	ck_pr_md_store_ptr(((void)sizeof(*(target) = (value)), (target)), (void *)(value))
#define ck_pr_store_ptr_unsafe(target, value) ck_pr_md_store_ptr((target), (value))
#define ck_pr_store_64(target, value) CK_PR_STORE_SAFE(target, value, 64)
#define ck_pr_store_32(target, value) CK_PR_STORE_SAFE(target, value, 32)
#define ck_pr_store_16(target, value) CK_PR_STORE_SAFE(target, value, 16)
#define ck_pr_store_8(target, value) CK_PR_STORE_SAFE(target, value, 8)
#define ck_pr_store_uint(target, value) CK_PR_STORE_SAFE(target, value, uint)
#define ck_pr_store_int(target, value) CK_PR_STORE_SAFE(target, value, int)
#define ck_pr_store_char(target, value) CK_PR_STORE_SAFE(target, value, char)
#define ck_pr_load_ptr(target) ((__typeof__(*(target)))ck_pr_md_load_ptr(target))
#define ck_pr_load_64(target) ck_pr_md_load_64(target)
#define ck_pr_load_32(target) ck_pr_md_load_32(target)
#define ck_pr_load_16(target) ck_pr_md_load_16(target)
#define ck_pr_load_8(target) ck_pr_md_load_8(target)
#define ck_pr_load_uint(target) ck_pr_md_load_uint(target)
#define ck_pr_load_int(target) ck_pr_md_load_int(target)
#define ck_pr_load_char(target) ck_pr_md_load_char(target)

#endif
