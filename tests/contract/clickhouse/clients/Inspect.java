import java.sql.*;
import java.util.*;

/** What a tool asks of a database before it shows it, as Metabase does. Arguments: HOST:PORT PASSWORD. */
public class Inspect {
  static SortedSet<String> column(ResultSet r, String... names) throws SQLException {
    SortedSet<String> found = new TreeSet<>();
    try (r) {
      while (r.next()) {
        StringJoiner one = new StringJoiner(":");
        for (String name : names) one.add(r.getString(name));
        found.add(one.toString());
      }
    }
    return found;
  }

  public static void main(String[] given) throws Exception {
    Properties login = new Properties();
    login.put("user", "default");
    login.put("password", given[1]);
    try (Connection c = DriverManager.getConnection("jdbc:clickhouse://" + given[0], login);
        Statement s = c.createStatement()) {
      s.execute("CREATE DATABASE shop");
      s.execute("CREATE TABLE shop.orders (id UInt64, customer Nullable(String), "
          + "amount Decimal(18, 4), placed_at DateTime64(3, 'UTC'), "
          + "tags Array(LowCardinality(String))) ENGINE = MergeTree ORDER BY id");
      s.execute("CREATE VIEW shop.customers AS SELECT DISTINCT customer FROM shop.orders");
      s.execute("INSERT INTO shop.orders (id, customer, amount) VALUES (1, 'Ada', 12.5), (2, NULL, 7)");
      DatabaseMetaData m = c.getMetaData();
      System.out.println(m.getDatabaseProductName() + " " + (m.getDatabaseMajorVersion() > 20));
      System.out.println(column(m.getSchemas(), "TABLE_SCHEM").contains("shop"));
      System.out.println(column(m.getTables(null, "shop", "%", new String[] {"TABLE", "VIEW"}),
          "TABLE_NAME", "TABLE_TYPE"));
      System.out.println(column(m.getColumns(null, "shop", "orders", "%"),
          "COLUMN_NAME", "TYPE_NAME", "IS_NULLABLE"));
      System.out.println(column(m.getTypeInfo(), "TYPE_NAME").size() > 20);
      System.out.println(column(m.getPrimaryKeys(null, "shop", "orders"), "COLUMN_NAME"));
      System.out.println(column(m.getImportedKeys(null, "shop", "orders"), "FKCOLUMN_NAME"));
      System.out.println(column(m.getIndexInfo(null, "shop", "orders", false, true), "INDEX_NAME"));
      s.setMaxRows(1);
      try (ResultSet r = s.executeQuery("SELECT * FROM shop.orders ORDER BY id")) {
        ResultSetMetaData columns = r.getMetaData();
        int rows = 0;
        while (r.next()) rows++;
        System.out.println(columns.getColumnCount() + " " + columns.getColumnLabel(3) + " " + rows);
      }
      try (PreparedStatement p = c.prepareStatement(
          "SELECT toStartOfMonth(placed_at), sum(amount) FROM shop.orders WHERE id > ? GROUP BY 1")) {
        p.setLong(1, 0);
        try (ResultSet r = p.executeQuery()) {
          r.next();
          System.out.println(r.getBigDecimal(2).stripTrailingZeros().toPlainString());
        }
      }
    }
  }
}
