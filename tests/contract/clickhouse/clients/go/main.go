// What a program does first over HTTP, with each compression. Arguments: HOST:PORT PASSWORD.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	methods := []clickhouse.CompressionMethod{
		clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD,
		clickhouse.CompressionGZIP,
	}
	for number, method := range methods {
		db := clickhouse.OpenDB(&clickhouse.Options{
			Addr: []string{os.Args[1]}, Protocol: clickhouse.HTTP,
			Auth:        clickhouse.Auth{Username: "default", Password: os.Args[2]},
			Compression: &clickhouse.Compression{Method: method, Level: 3},
		})
		ctx := context.Background()
		must(db.PingContext(ctx))
		table := fmt.Sprintf("go%d", number)
		_, err := db.ExecContext(ctx, "CREATE TABLE "+table+
			" (n UInt64, t LowCardinality(String), at DateTime('Asia/Tokyo'), a Array(Int32),"+
			" m Map(String, UInt8)) ENGINE = MergeTree ORDER BY n")
		must(err)
		tx, err := db.BeginTx(ctx, nil)
		must(err)
		batch, err := tx.PrepareContext(ctx, "INSERT INTO "+table)
		must(err)
		for n := range 1000 {
			_, err = batch.ExecContext(ctx, uint64(n), "x", time.Unix(0, 0), []int32{1, 2},
				map[string]uint8{"k": 1})
			must(err)
		}
		must(tx.Commit())
		var count, most uint64
		var at time.Time
		row := db.QueryRowContext(ctx, "SELECT count(), max(n), max(at) FROM "+table)
		must(row.Scan(&count, &most, &at))
		_, err = db.ExecContext(ctx, "SELECT nothing_such")
		fmt.Println(count, most, at.Location(), err != nil)
	}
}
