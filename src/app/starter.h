/* app/starter.h: the small working app that `cairn new NAME` writes. Its files are those of templates/, held in the program.
 *
 * Threads: pure. */
#ifndef APP_STARTER_H
#define APP_STARTER_H

#include <base/arena.h>
#include <base/bytes.h>
#include <cairn/app.h>

/* The files of an app called `name`, in Lua or in TypeScript, by path. Texts may lie in the program or in the arena.
 * CAIRN_E_INVALID: no name for an app. */
CAIRN_MUST_CHECK cairn_err app_starter(cairn_str name, bool typescript, struct arena *arena, const cairn_app_file **ret_files,
                                       size_t *ret_count, cairn_error *error);

/* Where an app in TypeScript keeps what app_typescript() makes. */
#define APP_TYPES_PATH "src/types.gen.d.ts"

/* The text of APP_TYPES_PATH: TypeScript types of an app's commands and events, from its schemas as they are now. The app may
 * have faults elsewhere; its deciders need not be there yet.
 * CAIRN_E_INVALID: app.yaml or a schema cannot be read; the detail says where. */
CAIRN_MUST_CHECK cairn_err app_typescript(const cairn_app_file *files, size_t count, struct buf *to, cairn_error *error);

#endif
