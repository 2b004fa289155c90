"""`nrtctl verify`: offsets against rows."""

from __future__ import annotations

from nrtctl.cli.options import Session


def verify(session: Session) -> None:
    """Compare Kafka's offsets with ClickHouse's rows. Exit 5 if anything is missing or doubled."""
    from nrtctl.errors import CheckFailed
    from nrtctl.kafka_log import KafkaLog
    from nrtctl.verify import verify as compare

    config = session.config
    log = KafkaLog(config, session.addresses)
    report = compare(
        session.clickhouse(),
        config.pipeline,
        database=config.clickhouse.database,
        group=config.consumer.group,
        log=log.partitions(),
        exists=log.exists,
    )
    if not session.out.table:
        session.out.object(report.as_dict())
    else:
        columns = (
            "partition", "log_start", "log_end", "committed", "lag", "stored", "dead_letters",
            "missing", "duplicated",
        )  # fmt: skip
        rows = [tuple(getattr(each, name) for name in columns) for each in report.partitions]
        session.out.rows(columns, rows)
        session.out.text(
            f"{report.stored:,} stored, {report.dead_letters:,} dead letters, "
            f"{report.missing:,} missing, {report.duplicated:,} duplicated; lag {report.lag:,}"
        )
    if not report.ok:
        ranges = [
            f"{each.partition}: {start}-{end}"
            for each in report.partitions
            for start, end in each.missing_ranges[:3]
        ]
        where = f" (partition: range {'; '.join(ranges[:5])})" if ranges else ""
        raise CheckFailed(
            f"{report.missing} missing, {report.duplicated} duplicated in {report.table}{where}"
        )
