#ifndef POSTERN_MASTER_NOTIFY_H
#define POSTERN_MASTER_NOTIFY_H

#include <stdint.h>

/*
 * sd_notify(3) as a datagram of our own: no library of systemd runs here.  Without NOTIFY_SOCKET all of it does nothing.
 */
/* Reads NOTIFY_SOCKET from the environment; before that is cleaned. */
void notify_open(void);
void notify_ready(void);
/* How often systemd wants to hear that all is well, 0: not at all; and saying so. */
uint64_t notify_watchdog_ms(void);
void notify_watchdog(void);
void notify_reloading(void);
void notify_stopping(void);
void notify_status(const char *text);

#endif
