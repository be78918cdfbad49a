package bot;

import static org.junit.Assert.assertTrue;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.Test;

/** The bot as people know it, against the real gateway and a simulated Bitrix24. */
public class BotTest {
  @Test
  public void botSaysHelloAndAnswersOnceAlthoughAnAnswerWasLost() throws Exception {
    try (Bitrix24 bitrix24 = new Bitrix24()) {
      Bot bot = new Bot(bitrix24.gateway);
      CompletableFuture<Boolean> ended = new CompletableFuture<>();
      Thread running =
          new Thread(
              () -> {
                try {
                  ended.complete(bot.run());
                } catch (Exception error) {
                  ended.completeExceptionally(error);
                }
              });
      running.start();

      int anna = bitrix24.user("Anna");
      int id = bitrix24.bot(Bot.CODE, "hello");
      bitrix24.types(anna, id, "/hello Anna");
      bitrix24.answered(anna, id, List.of("Hello, Anna!"));

      bitrix24.losesAnswerOnce("imbot.v2.Command.answer");
      bitrix24.types(anna, id, "/hello one");
      bitrix24.types(anna, id, "/hello two");
      bitrix24.answered(anna, id, List.of("Hello, Anna!", "Hello, one!", "Hello, two!"));

      bot.close();
      assertTrue(ended.get(30, TimeUnit.SECONDS));
    }
  }
}
