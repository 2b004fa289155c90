"""The log, its topics and its groups. Nothing else imports confluent_kafka.

clients      configured clients; `properties` is what they are given
error_codes  what Kafka's answers mean; `refusals` is why there is none
topics       what a cluster holds, `make_topic`; `positions` asks for log ends and committed offsets
partitions   what is said of one partition (pure); `log` asks, `damage` is what is broken
membership   a member of a group; `group_offsets` are those of a group from outside
topic_admin  topics, changed from outside; `groups`: groups, too; `log_dirs` asks for sizes
printing     messages as lines; `messages` is their form
"""
