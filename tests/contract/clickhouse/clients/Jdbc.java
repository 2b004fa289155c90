import java.sql.*;
import java.util.Properties;

/** What a program does first with the driver's defaults. Arguments: HOST:PORT PASSWORD. */
public class Jdbc {
  public static void main(String[] given) throws Exception {
    Properties login = new Properties();
    login.put("user", "default");
    login.put("password", given[1]);
    try (Connection c = DriverManager.getConnection("jdbc:clickhouse://" + given[0], login);
        Statement s = c.createStatement()) {
      s.execute("CREATE TABLE jdbc (n UInt64, t String, at DateTime('Asia/Tokyo')) "
          + "ENGINE = MergeTree ORDER BY n");
      try (PreparedStatement p = c.prepareStatement("INSERT INTO jdbc VALUES (?, ?, ?)")) {
        for (int n = 0; n < 1000; n++) {
          p.setLong(1, n);
          p.setString(2, "it's " + n);
          p.setTimestamp(3, new Timestamp(0));
          p.addBatch();
        }
        p.executeBatch();
      }
      try (ResultSet r = s.executeQuery("SELECT count(), max(n), toString(max(at)) FROM jdbc")) {
        r.next();
        System.out.println(r.getLong(1) + " " + r.getLong(2) + " " + r.getString(3));
      }
      try (ResultSet r = s.executeQuery("SELECT number, toString(number) FROM numbers(300000)")) {
        long rows = 0;
        while (r.next()) rows += r.getString(2).isEmpty() ? 0 : 1;
        System.out.println(rows);
      }
      try {
        s.executeQuery("SELECT nothing_such");
      } catch (SQLException error) {
        System.out.println(error.getErrorCode());
      }
      try (ResultSet r = c.getMetaData().getColumns(null, null, "jdbc", "%")) {
        while (r.next()) System.out.print(r.getString("COLUMN_NAME") + " ");
      }
      System.out.println();
    }
  }
}
