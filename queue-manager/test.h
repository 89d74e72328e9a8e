#ifndef POSTERN_QUEUE_TEST_H
#define POSTERN_QUEUE_TEST_H

/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* then */
#include <cmocka.h>

#endif
