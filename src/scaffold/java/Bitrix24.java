package bot;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A simulated portal and a gateway for it. Needs the binary {@code bitrix24-gateway}, named by BITRIX24_GATEWAY_BIN or in
 * PATH.
 */
final class Bitrix24 implements AutoCloseable {
  /** How long anything may take that should happen. */
  private static final long PATIENCE_SECONDS = 30;

  /** Address for the bot. */
  final String gateway;

  /** The control interface of the portal, see tests/sim/README.md of the gateway. */
  private final String portal;

  private final HttpClient http = HttpClient.newHttpClient();
  private final Path folder = Files.createTempDirectory("bitrix24-");
  private final Deque<Process> processes = new ArrayDeque<>();

  Bitrix24() throws Exception {
    String binary = System.getenv().getOrDefault("BITRIX24_GATEWAY_BIN", "bitrix24-gateway");
    try {
      List<String> sim = List.of(binary, "sim", "--no-limits", "--dir", folder.toString());
      JsonObject facts = JsonParser.parseString(start(sim, Map.of(), "(?m)^(\\{.*\\})$")).getAsJsonObject();
      portal = facts.get("control").getAsString() + "/portals/" + facts.get("portal").getAsInt();
      Map<String, String> settings =
          Map.of(
              "WEBHOOK_URL", facts.get("webhook_url").getAsString(),
              "OUTBOUND__CA_FILE", facts.get("ca_file").getAsString(),
              "STORE__DIR", folder.resolve("store").toString(),
              "STORE__KEY_FILE", folder.resolve("keys").toString(),
              "GRPC__LISTEN", "127.0.0.1:0",
              "ADMIN__LISTEN", "",
              "RATE__REQUESTS_PER_SECOND", "0",
              "POLLING__BUSY_PAUSE", "100ms",
              "POLLING__IDLE_PAUSE", "100ms");
      gateway = start(List.of(binary, "serve"), settings, "gateway is ready.* grpc\\.address=(\\S+)");
    } catch (Exception error) {
      close();
      throw error;
    }
  }

  /** Starts a process and waits for this in its output. */
  private String start(List<String> command, Map<String, String> settings, String wanted) throws Exception {
    File log = Files.createTempFile(folder, "process-", ".log").toFile();
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log);
    // No test may reach a real portal.
    builder.environment().keySet().removeIf(name -> name.startsWith("BITRIX24_GATEWAY"));
    settings.forEach((name, value) -> builder.environment().put("BITRIX24_GATEWAY__" + name, value));
    Process process = builder.start();
    processes.push(process);
    Pattern pattern = Pattern.compile(wanted);
    return until(
        command + " is ready, see " + log,
        () -> {
          Matcher found = pattern.matcher(Files.readString(log.toPath()));
          return found.find() ? found.group(1) : null;
        });
  }

  /** Waits until there is something. */
  private static <T> T until(String what, Callable<T> found) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    while (true) {
      T it = found.call();
      if (it != null) {
        return it;
      }
      if (System.nanoTime() > end) {
        throw new AssertionError("it never came about that " + what);
      }
      Thread.sleep(20);
    }
  }

  private JsonObject ask(String verb, String path, String body) throws IOException, InterruptedException {
    HttpRequest.BodyPublisher published =
        body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body);
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(portal + "/" + path))
            .header("content-type", "application/json")
            .method(verb, published)
            .build();
    HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
    if (response.statusCode() >= 300) {
      throw new AssertionError(verb + " " + path + ": " + response.statusCode() + " " + response.body());
    }
    return JsonParser.parseString(response.body()).getAsJsonObject();
  }

  /** A new person of the portal. */
  int user(String firstName) throws Exception {
    JsonObject person = new JsonObject();
    person.addProperty("first_name", firstName);
    return ask("POST", "users", person.toString()).get("id").getAsInt();
  }

  /** The bot of this code, as soon as it has registered itself and this command. */
  int bot(String code, String command) throws Exception {
    return until(
        "the bot registered itself",
        () -> {
          for (JsonElement it : ask("GET", "bots", null).getAsJsonArray("bots")) {
            int id = it.getAsJsonObject().get("id").getAsInt();
            if (it.getAsJsonObject().get("code").getAsString().equals(code)) {
              for (JsonElement known : ask("GET", "bots/" + id + "/commands", null).getAsJsonArray("commands")) {
                if (known.getAsJsonObject().get("name").getAsString().equals(command)) {
                  return id;
                }
              }
            }
          }
          return null;
        });
  }

  /** Writes to a bot in private. */
  void types(int user, int bot, String text) throws Exception {
    JsonObject typed = new JsonObject();
    typed.addProperty("dialog", Integer.toString(bot));
    typed.addProperty("text", text);
    ask("POST", "users/" + user + "/types", typed.toString());
  }

  /** Waits until these are all answers that the person read. */
  void answered(int user, int bot, List<String> texts) throws Exception {
    until(
        "the bot answered " + texts,
        () -> {
          List<String> read = new ArrayList<>();
          for (JsonElement it : ask("GET", "messages?dialog=" + user + ":" + bot, null).getAsJsonArray("messages")) {
            if (it.getAsJsonObject().get("author_id").getAsInt() == bot) {
              read.add(it.getAsJsonObject().get("text").getAsString());
            }
          }
          return read.equals(texts) ? read : null;
        });
  }

  /** The next call of this REST method takes effect, but the connection breaks before its answer. */
  void losesAnswerOnce(String method) throws Exception {
    JsonObject fault = new JsonObject();
    fault.addProperty("kind", "reset");
    fault.addProperty("method", method);
    fault.addProperty("when", "after");
    ask("POST", "faults", fault.toString());
  }

  /** Ends both, the gateway first. */
  @Override
  public void close() throws Exception {
    for (Process process : processes) {
      process.destroy();
      if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
        process.destroyForcibly().waitFor();
      }
    }
    try (Stream<Path> files = Files.walk(folder)) {
      files.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
    }
  }
}
