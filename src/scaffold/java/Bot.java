package bot;

import com.bitrix24gateway.v1.AcknowledgeEventsRequest;
import com.bitrix24gateway.v1.AnswerCommandRequest;
import com.bitrix24gateway.v1.BotProperties;
import com.bitrix24gateway.v1.BotServiceGrpc;
import com.bitrix24gateway.v1.CalledCommand;
import com.bitrix24gateway.v1.EventServiceGrpc;
import com.bitrix24gateway.v1.IfExists;
import com.bitrix24gateway.v1.MessageContent;
import com.bitrix24gateway.v1.ModifyAckDeadlinesRequest;
import com.bitrix24gateway.v1.NamedSubscription;
import com.bitrix24gateway.v1.RegisterBotRequest;
import com.bitrix24gateway.v1.RegisterCommandRequest;
import com.bitrix24gateway.v1.SubscribeCommandEventsRequest;
import com.bitrix24gateway.v1.SubscribeCommandEventsResponse;
import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * A Bitrix24 bot: somebody types {@code /hello World} in a chat, and it answers {@code Hello, World!}.
 *
 * <p>It keeps nothing itself, may be killed at any moment, and may run any number of times: the gateway hands each
 * command to one of these workers, and again to another one until it is answered. Of all their answers at most one is
 * posted.
 */
public final class Bot implements AutoCloseable {
  /** Names the bot for good, in the whole portal. */
  static final String CODE = "@BOT@";

  /** What people see. */
  static final String NAME = "@NAME@";

  static final Map<String, String> COMMANDS = Map.of("hello", "Say hello");

  /** What the bot says to a command. */
  static String answer(String command, String params) {
    return "Hello, " + (params.isEmpty() ? "World" : params) + "!";
  }

  private static final Logger LOG = Logger.getLogger(Bot.class.getName());

  /** Commands in hand at once. */
  private static final int WORKERS = 10;

  /** Worth another try: this bot makes no call that must not be repeated. */
  private static final Set<Status.Code> PASSING =
      Set.of(
          Status.Code.UNAVAILABLE,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.RESOURCE_EXHAUSTED,
          Status.Code.UNKNOWN);

  private static final Metadata.Key<String> TRACEPARENT =
      Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER);

  private final ManagedChannel channel;
  private final BotServiceGrpc.BotServiceBlockingStub bots;
  private final EventServiceGrpc.EventServiceBlockingStub events;
  private final ExecutorService hands = Executors.newFixedThreadPool(WORKERS);
  private volatile boolean stopping;

  Bot(String address) {
    channel =
        ManagedChannelBuilder.forTarget(address)
            .usePlaintext()
            .defaultServiceConfig(serviceConfig())
            .enableRetry()
            .keepAliveTime(30, TimeUnit.SECONDS)
            .build();
    bots = BotServiceGrpc.newBlockingStub(channel);
    events = EventServiceGrpc.newBlockingStub(channel);
  }

  /** It repeats only what is safe to repeat, and says how long each call may take. */
  private static Map<String, ?> serviceConfig() {
    var file = new InputStreamReader(Bot.class.getResourceAsStream("/service-config.json"), StandardCharsets.UTF_8);
    return new Gson().fromJson(file, new TypeToken<Map<String, ?>>() {}.getType());
  }

  /** Works until it is closed; false when another try would not help. */
  boolean run() throws InterruptedException {
    boolean registered = false;
    for (int tries = 0; !stopping; tries++) {
      try {
        if (!registered) {
          register();
          registered = true;
        }
        SubscribeCommandEventsRequest request =
            SubscribeCommandEventsRequest.newBuilder()
                .addBotCodes(CODE)
                .setSubscription( // shared by all workers
                    NamedSubscription.newBuilder().setName(CODE).setMaxOutstandingEvents(WORKERS))
                .build();
        var items = bots.subscribeCommandEvents(request);
        while (items.hasNext()) { // ends only with an error
          SubscribeCommandEventsResponse item = items.next();
          tries = 0;
          if (item.hasEvent()) {
            hands.execute(() -> handle(item));
          }
          if (item.hasGap()) {
            LOG.warning("commands may be missing: " + item.getGap());
          }
        }
      } catch (RejectedExecutionException closed) {
        break;
      } catch (StatusRuntimeException error) {
        if (stopping) {
          break;
        }
        explain(error);
        if (!PASSING.contains(error.getStatus().getCode())) {
          return false;
        }
        pause(tries);
      }
    }
    return true;
  }

  /** Makes sure that bot and commands exist; safe to repeat at every start. */
  private void register() {
    bots.registerBot(
        RegisterBotRequest.newBuilder()
            .setBotCode(CODE)
            .setIfExists(IfExists.IF_EXISTS_CONVERGE)
            .setProperties(BotProperties.newBuilder().setName(NAME))
            .build());
    COMMANDS.forEach(
        (command, title) ->
            bots.registerCommand(
                RegisterCommandRequest.newBuilder()
                    .setBotCode(CODE)
                    .setIfExists(IfExists.IF_EXISTS_CONVERGE)
                    .setCommand(command)
                    .putTitle("en", title)
                    .build()));
    LOG.info(CODE + " is ready");
  }

  private void handle(SubscribeCommandEventsResponse item) {
    CalledCommand command = item.getEvent().getCommandAdded().getCommand();
    String ackId = item.getDelivery().getAckId();
    try {
      if (COMMANDS.containsKey(command.getCommand())) {
        post(item, answer(command.getCommand(), command.getParams()));
      } else { // of another version of this bot
        events.acknowledgeEvents(AcknowledgeEventsRequest.newBuilder().addAckIds(ackId).build());
      }
    } catch (Exception error) {
      LOG.log(Level.SEVERE, "given back: it comes again, or is set aside for somebody to look at", error);
      try {
        events.modifyAckDeadlines(
            ModifyAckDeadlinesRequest.newBuilder()
                .addAckIds(ackId)
                .setAckDeadline(Duration.getDefaultInstance())
                .build());
      } catch (StatusRuntimeException refused) {
        explain(refused);
      }
    }
  }

  /** Posts the answer. At most one is posted, so this is tried until the outcome is certain. */
  private void post(SubscribeCommandEventsResponse item, String text) throws InterruptedException {
    Metadata trace = new Metadata();
    trace.put(TRACEPARENT, item.getEvent().getTraceContext().getTraceparent()); // empty: not traced
    AnswerCommandRequest request =
        AnswerCommandRequest.newBuilder()
            .setAckId(item.getDelivery().getAckId())
            .setContent(MessageContent.newBuilder().setText(text))
            .build();
    for (int tries = 0; ; tries++) {
      try {
        var response =
            bots.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(trace))
                .withDeadlineAfter(30, TimeUnit.SECONDS)
                .withWaitForReady() // not in the service config, since not every answer may be repeated
                .answerCommand(request);
        LOG.info(response.getOutcome().name());
        return;
      } catch (StatusRuntimeException error) {
        // E.g. ANSWER_WINDOW_CLOSED or ANSWER_OUTCOME_UNKNOWN, which no repeat would change.
        boolean ran = !Set.of("no", "?").contains(explain(error));
        if (ran || stopping || !PASSING.contains(error.getStatus().getCode())) {
          throw error;
        }
      }
      pause(tries);
    }
  }

  /**
   * Logs why a call failed, with its reason, an {@code ErrorReason} of errors.proto. Says whether it was executed.
   */
  private static String explain(StatusRuntimeException error) {
    String reason = "-";
    String executed = "?"; // when the gateway did not answer at all
    var status = StatusProto.fromThrowable(error);
    if (status != null) {
      for (Any detail : status.getDetailsList()) {
        if (detail.getTypeUrl().endsWith("/google.rpc.ErrorInfo")) {
          try {
            ErrorInfo info = ErrorInfo.parseFrom(detail.getValue());
            reason = info.getReason();
            executed = info.getMetadataOrDefault("executed", "?");
          } catch (InvalidProtocolBufferException unreadable) {
            LOG.warning("the details of a failure cannot be read: " + unreadable);
          }
        }
      }
    }
    LOG.warning(error.getStatus().getCode() + " " + reason + " executed=" + executed + ": " + error.getStatus().getDescription());
    return executed;
  }

  /** Waits longer and longer, and not the same in all workers. */
  private static void pause(int tries) throws InterruptedException {
    long longest = Math.min(1000L << Math.min(tries, 5), 30_000);
    Thread.sleep(ThreadLocalRandom.current().nextLong(longest / 2, longest));
  }

  /** Finishes what is in hand, then ends. */
  @Override
  public void close() throws InterruptedException {
    stopping = true;
    hands.shutdown();
    hands.awaitTermination(30, TimeUnit.SECONDS);
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }

  public static void main(String[] arguments) throws InterruptedException {
    String address = System.getenv().getOrDefault("GATEWAY", "127.0.0.1:50051");
    Bot bot = new Bot(address);
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  try {
                    bot.close();
                  } catch (InterruptedException interrupted) {
                    Thread.currentThread().interrupt();
                  }
                }));
    if (!bot.run()) {
      System.exit(1);
    }
  }
}
