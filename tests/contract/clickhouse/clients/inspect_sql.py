"""What Superset asks of a database by SQLAlchemy before it shows it. Arguments: the URL."""

import sys

from sqlalchemy import create_engine, inspect, text  # type: ignore[import-not-found]

engine = create_engine(sys.argv[1])
with engine.connect() as connection:
    for statement in (
        "CREATE DATABASE shop",
        "CREATE TABLE shop.orders (id UInt64, customer Nullable(String), amount Decimal(18, 4), "
        "placed_at DateTime64(3, 'UTC'), tags Array(LowCardinality(String))) "
        "ENGINE = MergeTree ORDER BY id",
        "CREATE VIEW shop.customers AS SELECT DISTINCT customer FROM shop.orders",
        "INSERT INTO shop.orders (id, customer, amount) VALUES (1, 'Ada', 12.5), (2, NULL, 7)",
    ):
        connection.execute(text(statement))
seen = inspect(engine)
print("shop" in seen.get_schema_names())
tables, views = set(seen.get_table_names("shop")), set(seen.get_view_names("shop"))
print(sorted(tables | views))
print([(each["name"], str(each["type"])) for each in seen.get_columns("orders", schema="shop")])
print(seen.get_pk_constraint("orders", schema="shop").get("constrained_columns"))
print(seen.get_foreign_keys("orders", schema="shop"), seen.get_indexes("orders", schema="shop"))
print(seen.has_table("orders", schema="shop"), seen.has_table("none", schema="shop"))
with engine.connect() as connection:
    sample = connection.execute(text("SELECT * FROM shop.orders ORDER BY id LIMIT 1"))
    print(list(sample.keys()), [str(each) for each in sample.one()[:3]])
    grouped = text(
        "SELECT toStartOfDay(placed_at) AS day, sum(amount) FROM shop.orders GROUP BY day"
    )
    print(str(connection.execute(grouped).one()[1]))
