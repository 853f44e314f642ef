/* cli/run.h: the commands' functions. Each returns an exit code after having said what went wrong. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

struct args;

/* cmd_append.c */
int run_append(const struct args *args);
/* cmd_read.c */
int run_read(const struct args *args);
int run_follow(const struct args *args);
int run_export(const struct args *args);
/* cmd_streams.c */
int run_streams(const struct args *args);
int run_stats(const struct args *args);
int run_retention(const struct args *args);
int run_delete(const struct args *args);
int run_snapshot_get(const struct args *args);
int run_snapshot_put(const struct args *args);
/* cmd_admin.c */
int run_verify(const struct args *args);
int run_backup(const struct args *args);
int run_restore(const struct args *args);
int run_branch(const struct args *args);
int run_scavenge(const struct args *args);
int run_reindex(const struct args *args);
/* cmd_subscription.c */
int run_subscription_create(const struct args *args);
int run_subscription_list(const struct args *args);
int run_subscription_take(const struct args *args);
int run_subscription_ack(const struct args *args);
int run_subscription_nack(const struct args *args);
int run_subscription_parked(const struct args *args);
int run_subscription_replay(const struct args *args);
int run_subscription_delete(const struct args *args);
/* cmd_topics.c */
int run_topics_list(const struct args *args);
int run_topics_show(const struct args *args);
int run_topics_create(const struct args *args);
int run_topics_grow(const struct args *args);
int run_topics_set(const struct args *args);
int run_topics_delete(const struct args *args);
int run_topics_read(const struct args *args);
int run_topics_replay(const struct args *args);
/* cmd_kgroups.c */
int run_groups_list(const struct args *args);
int run_groups_show(const struct args *args);
int run_groups_reset(const struct args *args);
int run_groups_delete(const struct args *args);
/* cmd_relays.c */
int run_relays_list(const struct args *args);
int run_relays_show(const struct args *args);
int run_relays_put(const struct args *args);
int run_relays_pause(const struct args *args);
int run_relays_resume(const struct args *args);
int run_relays_delete(const struct args *args);
/* import_*.c */
int run_import_git(const struct args *args);
int run_import_packages(const struct args *args);
int run_import_xes(const struct args *args);
int run_import_csv(const struct args *args);
int run_import_ocel(const struct args *args);
int run_import_ndjson(const struct args *args);
int run_import_cloudevents(const struct args *args);
/* cmd_app_dev.c */
int run_new(const struct args *args);
int run_check(const struct args *args);
int run_deploy(const struct args *args);
/* cmd_app.c */
int run_apps(const struct args *args);
int run_app(const struct args *args);
int run_state(const struct args *args);
/* cmd_command.c */
int run_command(const struct args *args);
int run_query(const struct args *args);
/* cmd_projection.c */
int run_projections(const struct args *args);
int run_projection(const struct args *args);
int run_replay(const struct args *args);
/* cmd_migrate.c */
int run_migrate(const struct args *args);
/* cmd_bench.c */
int run_bench(const struct args *args);
/* help.c, completion.c */
int run_help(const struct args *args);
int run_version(const struct args *args);
int run_completion(const struct args *args);

#endif
