import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/* What the Java client does that its console tools do not show. Tour HOST:PORT; prints "ok …" or "not ok …" for each step. */
public class Tour {
    static String broker;
    static boolean failed;

    interface Step { void run() throws Exception; }

    static void step(String name, Step step) {
        try {
            step.run();
            System.out.println("ok java: " + name);
        } catch (Throwable fault) {
            failed = true;
            System.out.println("not ok java: " + name + ": " + fault);
            fault.printStackTrace(System.out);
        }
    }

    static void same(Object want, Object got) {
        if (!want.equals(got))
            throw new AssertionError("expected " + want + ", got " + got);
    }

    static Properties with(String... pairs) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", broker);
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("default.api.timeout.ms", "30000");
        for (int i = 0; i < pairs.length; i += 2)
            settings.put(pairs[i], pairs[i + 1]);
        return settings;
    }

    static KafkaConsumer<String, String> consumer(String... pairs) { return new KafkaConsumer<>(with(pairs)); }
    static KafkaProducer<String, String> producer(String... pairs) { return new KafkaProducer<>(with(pairs)); }

    /* All of a topic, as read_committed shows it, by assignment: until each partition's end. */
    static List<ConsumerRecord<String, String>> all(String topic) {
        List<ConsumerRecord<String, String>> found = new ArrayList<>();
        try (KafkaConsumer<String, String> reader = consumer("isolation.level", "read_committed")) {
            List<TopicPartition> partitions = new ArrayList<>();
            reader.partitionsFor(topic).forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
            reader.assign(partitions);
            reader.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = reader.endOffsets(partitions);
            while (partitions.stream().anyMatch(p -> reader.position(p) < ends.get(p)))
                reader.poll(Duration.ofMillis(200)).forEach(found::add);
        }
        return found;
    }

    static void admin(Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic("tour-in", 3, (short) 1).configs(Map.of("retention.ms", "-1")), new NewTopic("tour-out", 2, (short) 3))).all().get();
        try {
            admin.createTopics(List.of(new NewTopic("tour-in", 3, (short) 1))).all().get();
            throw new AssertionError("a second topic of the name");
        } catch (java.util.concurrent.ExecutionException expected) {
            same(TopicExistsException.class, expected.getCause().getClass());
        }
        admin.createPartitions(Map.of("tour-out", NewPartitions.increaseTo(4))).all().get();
        same(4, admin.describeTopics(List.of("tour-out")).allTopicNames().get().get("tour-out").partitions().size());
        same(true, admin.listTopics().names().get().containsAll(Set.of("tour-in", "tour-out")));
        same(1, admin.describeCluster().nodes().get().size());
        admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion("tourist", new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "secret"))).all().get();
        same(true, admin.describeUserScramCredentials().users().get().contains("tourist"));
    }

    static void records() throws Exception {
        long base = System.currentTimeMillis() - 100_000;
        try (KafkaProducer<String, String> writer = producer("acks", "all", "linger.ms", "20")) {
            List<java.util.concurrent.Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < 90; i++) {
                ProducerRecord<String, String> record = new ProducerRecord<>("tour-in", i % 3, base + i * 1000L, "k" + i % 9, "v" + i);
                record.headers().add("number", Integer.toString(i).getBytes()).add("empty", null).add("number", "again".getBytes());
                sent.add(writer.send(record));
            }
            writer.send(new ProducerRecord<>("tour-in", 0, base + 90_000, "k0", (String) null)).get();
            for (int i = 0; i < 90; i++)
                same((long) (i / 3), sent.get(i).get().offset());
        }
        List<ConsumerRecord<String, String>> read = all("tour-in");
        same(91, read.size());
        for (ConsumerRecord<String, String> record : read) {
            if (record.value() == null)
                continue;
            int i = Integer.parseInt(record.value().substring(1));
            same(base + i * 1000L, record.timestamp());
            same("k" + i % 9, record.key());
            Header[] headers = record.headers().toArray();
            same(3, headers.length);
            same(Integer.toString(i), new String(headers[0].value()));
            same(true, headers[1].value() == null);
            same("again", new String(record.headers().lastHeader("number").value()));
        }
        try (KafkaConsumer<String, String> reader = consumer()) {
            Map<TopicPartition, Long> times = new HashMap<>();
            for (int p = 0; p < 3; p++)
                times.put(new TopicPartition("tour-in", p), base + 30_500);
            for (Map.Entry<TopicPartition, OffsetAndTimestamp> found : reader.offsetsForTimes(times).entrySet())
                same(true, found.getValue().timestamp() >= base + 30_500 && found.getValue().timestamp() <= base + 33_500);
        }
    }

    /* Read, process, write, with offsets in the transaction; every third one is aborted and taken again. */
    static void transactions() throws Exception {
        int aborted = 0;
        try (KafkaProducer<String, String> writer = producer("transactional.id", "tour-copy", "linger.ms", "5");
             KafkaConsumer<String, String> reader = consumer("group.id", "tour-copy", "isolation.level", "read_committed", "max.poll.records", "7")) {
            writer.initTransactions();
            reader.subscribe(List.of("tour-in"));
            int done = 0;
            for (int turn = 0; done < 91; turn++) {
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                int taken = 0;
                writer.beginTransaction();
                for (ConsumerRecord<String, String> record : reader.poll(Duration.ofMillis(500))) {
                    writer.send(new ProducerRecord<>("tour-out", record.key(), record.value() + "@" + record.partition() + "/" + record.offset()));
                    offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                    taken++;
                }
                if (taken == 0) {
                    writer.abortTransaction();
                    continue;
                }
                writer.sendOffsetsToTransaction(offsets, reader.groupMetadata());
                if (turn % 3 == 2) {
                    writer.flush();
                    writer.abortTransaction();
                    aborted++;
                    Map<TopicPartition, OffsetAndMetadata> committed = reader.committed(reader.assignment());
                    for (TopicPartition p : reader.assignment())
                        reader.seek(p, committed.get(p) == null ? 0 : committed.get(p).offset());
                } else {
                    writer.commitTransaction();
                    done += taken;
                }
            }
        }
        same(true, aborted > 0);
        Map<String, Integer> seen = new HashMap<>();
        Map<String, Long> last = new HashMap<>();
        for (ConsumerRecord<String, String> record : all("tour-out")) {
            String place = record.value().substring(record.value().indexOf('@') + 1);
            seen.merge(place, 1, Integer::sum);
            String of = record.key() + " " + place.substring(0, place.indexOf('/'));
            long offset = Long.parseLong(place.substring(place.indexOf('/') + 1));
            same(true, last.getOrDefault(of, -1L) < offset);
            last.put(of, offset);
        }
        same(91, seen.size());
        same(true, seen.values().stream().allMatch(n -> n == 1));
    }

    static void fencing() throws Exception {
        try (KafkaProducer<String, String> old = producer("transactional.id", "tour-fenced"); KafkaProducer<String, String> young = producer("transactional.id", "tour-fenced")) {
            old.initTransactions();
            old.beginTransaction();
            old.send(new ProducerRecord<>("tour-out", "fenced", "old"));
            old.flush();
            young.initTransactions();
            young.beginTransaction();
            young.send(new ProducerRecord<>("tour-out", "fenced", "young"));
            young.commitTransaction();
            try {
                old.commitTransaction();
                throw new AssertionError("the old one may still commit");
            } catch (ProducerFencedException | org.apache.kafka.common.errors.InvalidProducerEpochException expected) {
            }
        }
        List<String> values = new ArrayList<>();
        all("tour-out").stream().filter(r -> "fenced".equals(r.key())).forEach(r -> values.add(r.value()));
        same(List.of("young"), values);
    }

    /* Two members share a topic; one leaves; offsets go on. */
    static void group(String name, String... settings) throws Exception {
        String[] pairs = new String[settings.length + 4];
        System.arraycopy(settings, 0, pairs, 4, settings.length);
        pairs[0] = "group.id"; pairs[1] = name;
        pairs[2] = "max.poll.records"; pairs[3] = "10";
        TreeMap<String, Integer> seen = new TreeMap<>();
        AtomicInteger lost = new AtomicInteger();
        KafkaConsumer<String, String> one = consumer(pairs), two = consumer(pairs);
        try {
            ConsumerRebalanceListener listener = new ConsumerRebalanceListener() {
                public void onPartitionsRevoked(Collection<TopicPartition> p) {}
                public void onPartitionsAssigned(Collection<TopicPartition> p) {}
                public void onPartitionsLost(Collection<TopicPartition> p) { lost.incrementAndGet(); }
            };
            one.subscribe(List.of("tour-in"), listener);
            two.subscribe(List.of("tour-in"), listener);
            long until = System.currentTimeMillis() + 40_000;
            while (System.currentTimeMillis() < until && (one.assignment().isEmpty() || two.assignment().isEmpty() || one.assignment().size() + two.assignment().size() != 3)) {
                take(one, seen);
                take(two, seen);
            }
            same(3, one.assignment().size() + two.assignment().size());
            two.close();
            while (System.currentTimeMillis() < until && (one.assignment().size() < 3 || seen.size() < 91))
                take(one, seen);
            same(3, one.assignment().size());
            same(91, seen.size());
            same(true, seen.values().stream().allMatch(n -> n == 1));
            same(0, lost.get());
            ConsumerGroupMetadata metadata = one.groupMetadata();
            same(name, metadata.groupId());
        } finally {
            one.close();
            two.close();
        }
    }

    static void take(KafkaConsumer<String, String> from, Map<String, Integer> seen) {
        for (ConsumerRecord<String, String> record : from.poll(Duration.ofMillis(100)))
            seen.merge(record.partition() + "/" + record.offset(), 1, Integer::sum);
        if (from.assignment().isEmpty())
            return;
        try {
            from.commitSync();
        } catch (CommitFailedException e) { // a heartbeat has moved the member on meanwhile, which Kafka refuses too: the next round commits
            if (!e.getMessage().contains("stale member epoch"))
                throw e;
        }
    }

    static void offsets(Admin admin) throws Exception {
        TopicPartition first = new TopicPartition("tour-in", 0);
        same(31L, admin.listOffsets(Map.of(first, OffsetSpec.latest())).partitionResult(first).get().offset());
        same(0L, admin.listOffsets(Map.of(first, OffsetSpec.earliest())).partitionResult(first).get().offset());
        ListOffsetsResult.ListOffsetsResultInfo most = admin.listOffsets(Map.of(first, OffsetSpec.maxTimestamp())).partitionResult(first).get();
        same(30L, most.offset());
        Map<TopicPartition, OffsetAndMetadata> committed = admin.listConsumerGroupOffsets("tour-copy").partitionsToOffsetAndMetadata().get();
        same(91L, committed.values().stream().mapToLong(OffsetAndMetadata::offset).sum());
        admin.alterConsumerGroupOffsets("tour-copy", Map.of(first, new OffsetAndMetadata(5, "by hand"))).all().get();
        same("by hand", admin.listConsumerGroupOffsets("tour-copy").partitionsToOffsetAndMetadata().get().get(first).metadata());
        admin.deleteConsumerGroupOffsets("tour-copy", Set.of(first)).all().get();
        same(false, admin.listConsumerGroupOffsets("tour-copy").partitionsToOffsetAndMetadata().get().containsKey(first));
        admin.deleteConsumerGroups(List.of("tour-copy")).all().get();
    }

    public static void main(String[] arguments) {
        broker = arguments[0];
        try (Admin admin = Admin.create(with())) {
            step("topics and users", () -> admin(admin));
            step("records, headers, times", () -> records());
            step("read, process, write in transactions, some aborted", () -> transactions());
            step("a transactional producer that was replaced is fenced", () -> fencing());
            step("two members of a classic group", () -> group("tour-classic"));
            step("… with the cooperative assignor", () -> group("tour-cooperative", "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"));
            step("… with the range assignor", () -> group("tour-range", "partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor,org.apache.kafka.clients.consumer.StickyAssignor"));
            step("two members of a group of the new protocol", () -> group("tour-new", "group.protocol", "consumer"));
            step("… with the range assignor of the server's", () -> group("tour-new-range", "group.protocol", "consumer", "group.remote.assignor", "range"));
            step("offsets by the admin client", () -> offsets(admin));
        }
        System.exit(failed ? 1 : 0);
    }
}
