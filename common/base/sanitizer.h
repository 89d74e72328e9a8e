#ifndef POSTERN_BASE_SANITIZER_H
#define POSTERN_BASE_SANITIZER_H

/* WITH_ASAN: 1 in a build with AddressSanitizer, which has memory, threads and a check at the end of its own; else 0. */
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

#endif
