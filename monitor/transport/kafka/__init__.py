"""The contract kept on Apache Kafka by aiokafka; the only package that knows it."""

from monitor.transport.kafka.log import KafkaLog
from monitor.transport.kafka.options import refused_options
from monitor.transport.kafka.topics import make_topics
from monitor.transport.kafka.transport import KafkaTransport

__all__ = ["KafkaLog", "KafkaTransport", "make_topics", "refused_options"]
