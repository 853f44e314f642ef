/* kafka.c: Cairn beside Kafka, the same client on librdkafka for both.
 *
 * Client and broker have a processor each, where there are two. Kafka runs with its defaults (it acknowledges without syncing),
 * and has other topics with flush.messages=1, for which it syncs before it acknowledges, as Cairn always does. */
#include "kafka_client.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 600 /* 100 ms apart */
#define TOPICS 10000
#define GROUPS 1000
#define LATENCY_RATE 10000
#define WAITING 32 /* producers that wait for each record */
#define SPREAD 12  /* partitions of a topic as people make them */

static struct kafka_target cairn = {.key = "cairn", .label = "Cairn, Kafka's protocol", .pid = -1},
                           peer = {.key = "kafka", .label = "Kafka", .pid = -1},
                           peer_synced = {.key = "kafka_synced", .label = "Kafka, flush.messages=1", .pid = -1,
                                          .topic_config = {"flush.messages", "1"}};
static struct kafka_target *const targets[] = {&cairn, &peer, &peer_synced};
#define TARGETS (sizeof targets / sizeof *targets)

/* ---- processors ---------------------------------------------------------------------------------- */

static void
bind_client(bool bind)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < count; i++)
        if (!bind || i != 1)
            CPU_SET((size_t)i, &set);
    if (count > 1)
        sched_setaffinity(0, sizeof set, &set);
}

/* ---- brokers ------------------------------------------------------------------------------------------ */

static bool
wait_for(struct kafka_target *target, const char *log)
{
    for (unsigned i = 0; i < TRIES && process_runs(target->pid); i++, sleep_ms(100))
        if (kafka_answers(target->port))
            return true;
    failure("kafka: %s did not come up; see %s", target->label, log);
    return false;
}

static bool
start_cairn(const struct settings *settings)
{
    char data[512], log[512], listen[32], address[32];
    snprintf(data, sizeof data, "%s/cairn-kafka", settings->dir);
    snprintf(log, sizeof log, "%s/cairn-kafka.log", settings->dir);
    cairn.port = free_port();
    snprintf(address, sizeof address, "127.0.0.1:%u", cairn.port);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", free_port());
    const char *arguments[] = {"/usr/bin/taskset", "-c", "1", settings->server, "serve", "--data", data, "--listen", listen,
                               "--kafka", address, NULL};
    bool two = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    if (mkdir(data, 0755) != 0 && errno != EEXIST)
        return false;
    cairn.pid = process_start(two ? arguments : arguments + 3, log);
    return cairn.pid > 0 && wait_for(&cairn, log);
}

/* BENCH_KAFKA: the class path of a Kafka, BENCH_JAVA the program that runs it. */
static bool
start_kafka(const struct settings *settings)
{
    const char *classes = getenv("BENCH_KAFKA"), *java = getenv("BENCH_JAVA"), *why = getenv("BENCH_KAFKA_WHY");
    if (classes == NULL || java == NULL) {
        remark("Kafka: LEFT OUT, %s", why != NULL ? why : "for bench/run.sh did not bring it");
        return false;
    }
    char data[512], log[512], properties[512];
    snprintf(data, sizeof data, "%s/kafka", settings->dir);
    snprintf(log, sizeof log, "%s/kafka.log", settings->dir);
    snprintf(properties, sizeof properties, "%s/kafka.properties", settings->dir);
    peer.port = peer_synced.port = free_port();
    unsigned control = free_port();
    FILE *file = fopen(properties, "we");
    if (file == NULL)
        return false;
    fprintf(file,
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:%u\n"
            "listeners=PLAINTEXT://127.0.0.1:%u,CONTROLLER://127.0.0.1:%u\n"
            "advertised.listeners=PLAINTEXT://127.0.0.1:%u\ncontroller.listener.names=CONTROLLER\n"
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs=%s\n"
            "offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n"
            "transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n",
            control, peer.port, control, peer.port, data);
    fclose(file);
    const char *format[] = {java, "-cp", classes, "kafka.tools.StorageTool", "format", "-t", "bNLSj3N6QjKLBzdUIoRiVA", "-c", properties, NULL};
    char said[2048];
    if (!process_run(format, said, sizeof said)) {
        failure("kafka: cannot format its folder: %s", said);
        return false;
    }
    const char *arguments[] = {"/usr/bin/taskset", "-c", "1", java, "-Xmx1G", "-Xms1G", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
                               "-Djava.awt.headless=true", "-cp", classes, "kafka.Kafka", properties, NULL};
    bool two = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    peer.pid = peer_synced.pid = process_start(two ? arguments : arguments + 3, log);
    return peer.pid > 0 && wait_for(&peer, log);
}

/* ---- rounds ---------------------------------------------------------------------------------------------- */

/* Whose code is still being compiled is no peer yet: the first turn of each is not counted. */
static bool warm;

static void
note(const struct kafka_target *target, const char *what, size_t size, const struct sample *sample)
{
    if (!warm)
        return;
    double rate = (double)sample->appends / sample->seconds;
    figure_add(rate, "kafka.%s_%zu.%s.per_s", what, size, target->key);
    figure_add(rate * (double)size / 1e6, "kafka.%s_%zu.%s.mb_per_s", what, size, target->key);
    figure_add(sample->client_cores, "kafka.%s_%zu.%s.client_cores", what, size, target->key);
    figure_add(sample->server_cores, "kafka.%s_%zu.%s.server_cores", what, size, target->key);
}

/* The topic from its beginning, again and again: once takes half a second, in which a broker still works at what it was given. */
static bool
consume_for(const struct kafka_target *target, const char *topic, unsigned partitions, uint64_t count, double seconds,
            struct sample *ret)
{
    struct sample sum = {0}, once = {0};
    while (sum.seconds < seconds) {
        if (!kafka_consume(target, topic, partitions, count, &once))
            return false;
        sum.appends += once.appends;
        sum.seconds += once.seconds;
        sum.client_cores += once.client_cores * once.seconds;
        sum.server_cores += once.server_cores * once.seconds;
    }
    sum.client_cores /= sum.seconds;
    sum.server_cores /= sum.seconds;
    *ret = sum;
    return true;
}

/* What others have written and not synced is on the disk, so that nobody syncs it for them. */
static void
settle(void)
{
    sync();
    disk_settle();
}

#define TOPIC_NAME_MAX 64

/* A topic for one turn, on a disk that has settled. */
static bool
begin_turn(const struct kafka_target *target, const char *what, size_t size, unsigned partitions, unsigned round,
           char to[TOPIC_NAME_MAX])
{
    snprintf(to, TOPIC_NAME_MAX, "%s-%zu-%s-%u", what, size, target->key, round);
    settle();
    return kafka_make_topic(target, to, partitions);
}

static void
produce_and_consume(const struct settings *settings, const struct kafka_target *target, unsigned partitions, size_t size,
                    unsigned round)
{
    char topic[TOPIC_NAME_MAX];
    struct sample sample = {0};
    const char *produce = partitions > 1 ? "produce_spread" : "produce", *consume = partitions > 1 ? "consume_spread" : "consume";
    if (!begin_turn(target, produce, size, partitions, round, topic)
        || !kafka_produce(target, topic, partitions, size, 3 * settings->slice_s, &sample))
        return;
    note(target, produce, size, &sample);
    if (consume_for(target, topic, partitions, sample.appends, 2 * settings->slice_s, &sample))
        note(target, consume, size, &sample);
    (void)kafka_delete_topic(target, topic);
}

static void
produce_each(const struct settings *settings, const struct kafka_target *target, unsigned round)
{
    char topic[TOPIC_NAME_MAX];
    struct sample sample = {0};
    if (!begin_turn(target, "each", 100, 1, round, topic)
        || !kafka_produce_each(target, topic, WAITING, 100, 2 * settings->slice_s, &sample))
        return;
    (void)kafka_delete_topic(target, topic);
    if (warm)
        figure_add((double)sample.appends / sample.seconds, "kafka.each_100.%s.per_s", target->key);
}

static void
latency(const struct settings *settings, const struct kafka_target *target, unsigned round)
{
    char topic[TOPIC_NAME_MAX];
    struct sample sample = {0};
    if (!begin_turn(target, "latency", 100, 1, round, topic)
        || !kafka_latency(target, topic, LATENCY_RATE, 2 * settings->slice_s, &sample))
        return;
    (void)kafka_delete_topic(target, topic);
    if (!warm)
        return;
    figure_add(sample.p50_us / 1e3, "kafka.latency.%s.p50_ms", target->key);
    figure_add(sample.p99_us / 1e3, "kafka.latency.%s.p99_ms", target->key);
}

static void
many(const struct settings *settings)
{
    double ms;
    progress("kafka: %u topics, %u groups", TOPICS, GROUPS);
    if (!kafka_make_topics(&cairn, "many-", TOPICS) || !kafka_make_groups(&cairn, "many-", GROUPS))
        return;
    for (unsigned round = 0; round < settings->rounds; round++) {
        if (kafka_metadata_ms(&cairn, &ms))
            figure_add(ms, "kafka.metadata.cairn.ms");
        if (kafka_list_groups_ms(&cairn, &ms))
            figure_add(ms, "kafka.groups.cairn.ms");
        if (kafka_lag_ms(&cairn, "many-7", "group-7", &ms))
            figure_add(ms, "kafka.lag.cairn.ms");
    }
}

void
part_kafka(const struct settings *settings)
{
    static const size_t sizes[] = {1000, 100};
    if (settings->server == NULL) {
        remark("kafka: LEFT OUT, there is no server program");
        return;
    }
    if (!disk_open(settings) || !start_cairn(settings))
        return;
    bool beside = start_kafka(settings);
    bind_client(true);
    for (unsigned round = 0; round <= settings->rounds; round++) {
        warm = round > 0;
        progress("kafka: round %u of %u", round, settings->rounds);
        if (warm)
            disk_run_growing(4 << 20, settings->slice_s, "growing_large");
        for (size_t i = 0; i < TARGETS; i++) {
            const struct kafka_target *target = targets[round % 2 ? TARGETS - 1 - i : i];
            if (target != &cairn && !beside)
                continue;
            for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
                for (unsigned partitions = 1; partitions <= SPREAD; partitions += SPREAD - 1)
                    produce_and_consume(settings, target, partitions, sizes[j], round);
            produce_each(settings, target, round);
            latency(settings, target, round);
        }
    }
    figure_add(memory_mb(cairn.pid, "VmRSS"), "kafka.memory.cairn.rss_mb");
    if (beside)
        figure_add(memory_mb(peer.pid, "VmRSS"), "kafka.memory.kafka.rss_mb");
    many(settings);
    bind_client(false);
    if (!process_stop(cairn.pid, SIGTERM))
        failure("kafka: Cairn did not stop cleanly");
    if (beside)
        (void)process_stop(peer.pid, SIGTERM);
    disk_close();
}
