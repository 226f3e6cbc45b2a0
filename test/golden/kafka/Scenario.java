// Drives Kafka's own Java clients through every API that has a definition here, once.
// Run by capture.ts: java -cp JARS Scenario.java BOOTSTRAP TOPIC

import java.time.Duration;
import java.util.*;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;

public class Scenario {
  interface Step {
    void run() throws Exception;
  }

  /** A version may lack what a step wants: the frames before that still count. */
  static void attempt(String name, Step step) {
    try {
      step.run();
    } catch (Exception e) {
      System.err.println(name + ": " + e);
    }
  }

  public static void main(String[] args) throws Exception {
    String topic = args[1];
    String group = "group-" + topic;
    Map<String, Object> common = new HashMap<>();
    common.put("bootstrap.servers", args[0]);
    common.put("client.id", "java");
    common.put("default.api.timeout.ms", 15000);
    common.put("request.timeout.ms", 10000);
    common.put("enable.metrics.push", false);
    TopicPartition first = new TopicPartition(topic, 0);
    try (Admin admin = Admin.create(common)) {
      NewTopic created = new NewTopic(topic, 2, (short) 1).configs(Map.of("compression.type", "producer"));
      attempt("create", () -> admin.createTopics(List.of(created)).all().get(15, TimeUnit.SECONDS));
      attempt("again", () -> admin.createTopics(List.of(created)).all().get(15, TimeUnit.SECONDS));
      attempt("grow", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get());
      attempt("produce", () -> produce(common, topic));
      attempt("consume", () -> consume(common, topic, group));
      attempt("resume", () -> consume(common, topic, group));
      attempt("describe", () -> admin.describeTopics(List.of(topic)).allTopicNames().get());
      attempt("configs", () -> admin.describeConfigs(
          List.of(new ConfigResource(ConfigResource.Type.TOPIC, topic)),
          new DescribeConfigsOptions().includeSynonyms(true)).all().get());
      attempt("latest", () -> admin.listOffsets(Map.of(first, OffsetSpec.latest())).all().get());
      attempt("timestamp", () -> admin.listOffsets(Map.of(first, OffsetSpec.forTimestamp(1))).all().get());
      attempt("max", () -> admin.listOffsets(Map.of(first, OffsetSpec.maxTimestamp())).all().get());
      attempt("groups", () -> admin.listGroups().all().get());
      attempt("group", () -> admin.describeConsumerGroups(List.of(group)).all().get());
      attempt("commit", () -> admin.alterConsumerGroupOffsets(
          group, Map.of(first, new OffsetAndMetadata(1, Optional.of(0), "note"))).all().get());
      attempt("offsets", () -> admin.listConsumerGroupOffsets(group).all().get());
      attempt("producers", () -> admin.describeProducers(List.of(first)).all().get());
      attempt("cluster", () -> admin.describeCluster().clusterId().get());
      attempt("records", () -> admin.deleteRecords(
          Map.of(first, RecordsToDelete.beforeOffset(1))).all().get());
      attempt("delete", () -> admin.deleteTopics(List.of(topic)).all().get());
      attempt("gone", () -> admin.deleteTopics(List.of(topic)).all().get());
    }
  }

  static void produce(Map<String, Object> common, String topic) throws Exception {
    Map<String, Object> config = new HashMap<>(common);
    config.put("linger.ms", 5);
    config.put("compression.type", "gzip");
    try (Producer<String, String> producer =
        new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
      for (int i = 0; i < 6; i++) {
        ProducerRecord<String, String> record = new ProducerRecord<>(topic, i % 2, "key-" + i, "value-" + i);
        record.headers().add("n", new byte[] {(byte) i});
        producer.send(record);
      }
      producer.flush();
    }
  }

  static void consume(Map<String, Object> common, String topic, String group) {
    Map<String, Object> config = new HashMap<>(common);
    config.put("group.id", group);
    config.put("auto.offset.reset", "earliest");
    config.put("heartbeat.interval.ms", 200);
    config.put("fetch.max.wait.ms", 100);
    try (Consumer<String, String> consumer =
        new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
      consumer.subscribe(List.of(topic));
      long until = System.currentTimeMillis() + 1500;
      while (System.currentTimeMillis() < until) consumer.poll(Duration.ofMillis(100));
      consumer.commitSync();
    }
  }
}
