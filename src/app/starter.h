/* app/starter.h: the small working app that `cairn new NAME` writes. Its files are those of templates/, held in the program.
 *
 * Threads: pure. */
#ifndef APP_STARTER_H
#define APP_STARTER_H

#include <base/arena.h>
#include <cairn/app.h>

/* The files of an app called `name`, in Lua or in TypeScript, by path. Texts may lie in the program or in the arena.
 * CAIRN_E_INVALID: no name for an app. */
CAIRN_MUST_CHECK cairn_err app_starter(cairn_str name, bool typescript, struct arena *arena, const cairn_app_file **ret_files,
                                       size_t *ret_count, cairn_error *error);

#endif
