//! The chat page in a real browser, with a real bot behind it. Run by `.ci/pages`.

use serde_json::json;

use super::{
    Developing,
    bot::{self, Bot, HOSTILE},
    browser::{Browser, Requests},
};
use crate::process::Desk;

/// Chooses the dialog with this name in the list, by a press.
async fn choose(browser: &mut Browser, name: &str) {
    let dialog = format!(
        "[...document.querySelectorAll('nav button')].find((one) => one.textContent === {})",
        json!(name)
    );
    browser.until(&dialog).await;
    browser.eval(&format!("{dialog}.click()")).await;
    browser
        .until(&format!(
            "find('title').textContent === {} && find('state').textContent === 'Live'",
            json!(name)
        ))
        .await;
}

/// Writes into the message field as a person does, and sends it.
async fn write(browser: &mut Browser, text: &str) {
    browser.eval("find('input').focus()").await;
    browser.types(text).await;
    browser.key("Enter").await;
    browser.until("find('input').value === ''").await;
}

fn last(holds: &str) -> String {
    format!("((last) => last && {holds})([...document.querySelectorAll('article')].at(-1))")
}

/// Every width in every theme; texts that take long to look at are seen narrow and wide once.
const LOOKS: [(u32, u32, &str); 6] = [
    (360, 740, "light"),
    (1440, 900, "dark"),
    (360, 740, "dark"),
    (820, 1180, "light"),
    (820, 1180, "dark"),
    (1440, 900, "light"),
];

/// Nothing serious is wrong, and nothing is wider than the window.
async fn can_be_used_by_everybody(
    browser: &mut Browser,
    name: &str,
    looks: &[(u32, u32, &'static str)],
) {
    for (width, height, theme) in looks {
        browser.look(*width, *height, theme).await;
        browser.picture(&format!("{name}-{width}-{theme}")).await;
        let wrong = browser.serious().await;
        assert!(wrong.is_empty(), "{width} {theme}: {}", wrong.join("\n"));
        let overflow = browser
            .eval("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            .await;
        assert!(overflow.as_i64().unwrap() <= 0, "{width} {theme}: wider");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser: run .ci/pages"]
async fn person_talks_to_a_bot_and_sees_what_made_the_conversation() {
    let desk = Desk::new().await;
    let dev = Developing::of(&desk, &[]).await;
    let mut browser = Browser::open(dev.page()).await;
    browser.look(1440, 900, "light").await;
    browser
        .until("document.getElementById('state')?.textContent === 'Live'")
        .await;

    // The bot registers while somebody looks.
    let bot = Bot::start(dev.bots().await).await;
    choose(&mut browser, "Weather").await;

    // By keys alone: a command is completed, with title and hint in the language chosen, and sent.
    browser.tab_to("focused.id === 'input'").await;
    browser.types("/we").await;
    browser.until("!find('suggestions').hidden").await;
    let offered = browser.eval("find('suggestions').innerText").await;
    let offered = offered.as_str().unwrap();
    assert!(
        offered.contains("/weather")
            && offered.contains("Weather of a city")
            && offered.contains("city"),
        "{offered}"
    );
    browser.picture("completing").await;
    browser.key("Tab").await;
    assert_eq!(browser.eval("find('input').value").await, "/weather ");
    browser.types("Berlin").await;
    browser.key("Enter").await;
    browser
        .until(&last(
            "last.querySelector('.text').innerText.startsWith('Berlin: 21 degrees, sunny')",
        ))
        .await;
    for shown in [
        ".text b",
        ".attach .cells dt",
        ".attach a[href^='https://example.com/']",
        ".keys button",
        ".press",
    ] {
        browser
            .until(&last(&format!("last.querySelector({})", json!(shown))))
            .await;
    }

    // A button of the keyboard, by a key.
    browser
        .tab_to("focused.closest('.keys') && focused.textContent === 'Hamburg'")
        .await;
    browser.key("Enter").await;
    browser
        .until(&last(
            "last.querySelector('.text').innerText.startsWith('Hamburg')",
        ))
        .await;

    // In another language the same command has another title.
    browser
        .eval("find('language').value = 'de'; find('language').dispatchEvent(new Event('change'))")
        .await;
    browser.until("world && find('state').textContent === 'Live' && world.commands.some((one) => one.title === 'Wetter einer Stadt')").await;

    // A reaction, and a change of an own message.
    browser
        .until(&last("last.querySelector('details.more')"))
        .await;
    browser.eval("[...document.querySelectorAll('article')].at(-1).querySelector('[data-key=react-like]').click()").await;
    browser
        .until(&last(
            "last.querySelector('.reactions button')?.getAttribute('aria-pressed') === 'true'",
        ))
        .await;
    write(&mut browser, "a mistake").await;
    browser
        .until(&last("last.innerText.includes('a mistake')"))
        .await;
    browser.eval("[...document.querySelectorAll('article')].at(-1).querySelector('[data-key=edit]').click()").await;
    browser.eval("find('input').value = ''").await;
    write(&mut browser, "no mistake").await;
    browser
        .until(&last(
            "last.innerText.includes('no mistake') && last.innerText.includes('changed')",
        ))
        .await;

    // What made it stands beside it, with request and answer, without secrets.
    let call = "[...document.querySelectorAll('#story details')].find((one) => one.querySelector('summary').textContent.includes('imbot.v2.Command.answer'))";
    browser.until(call).await;
    browser.eval(&format!("{call}.open = true")).await;
    browser
        .until(&format!("{call}.querySelectorAll('pre').length === 2"))
        .await;
    let detail = browser.eval(&format!("{call}.innerText")).await;
    let detail = detail.as_str().unwrap();
    assert!(
        detail.contains("\"botToken\": \"•••\"") && detail.contains("Hamburg"),
        "{detail}"
    );

    can_be_used_by_everybody(&mut browser, "talk", &LOOKS).await;
    browser.look(1440, 900, "light").await;

    // A fault on, and off again: the bot's answer does not come, then it does.
    let press = |id: &str| format!("find('{id}').click()");
    browser.eval("find('fault').elements.kind.value = 'ACCESS_DENIED'; find('fault').elements.method.value = 'imbot.v2.Command.answer'; find('fault').elements.times.value = 'always'").await;
    browser.eval(&press("add-fault")).await;
    browser
        .until("find('faults').textContent === '1 fault waits'")
        .await;
    write(&mut browser, "/weather Paris").await;
    browser.until("[...document.querySelectorAll('#story .bad')].some((one) => one.textContent === 'ACCESS_DENIED')").await;
    browser.eval(&press("clear-faults")).await;
    browser
        .until("find('faults').textContent === '0 faults wait'")
        .await;
    write(&mut browser, "/weather Rome").await;
    browser
        .until(&last(
            "last.querySelector('.text').innerText.startsWith('Rome')",
        ))
        .await;

    // In a group the answer window closes after ten minutes.
    choose(&mut browser, "Support").await;
    browser.until("!find('adding').hidden").await;
    browser.eval(&press("add")).await;
    browser
        .until("find('adding').hidden && find('members').textContent.includes('Weather')")
        .await;
    write(&mut browser, "/slow").await;
    browser
        .until("document.querySelector('[data-window=open]')")
        .await;
    browser.eval(&press("pass")).await;
    browser
        .until("document.querySelector('[data-window=closed]')")
        .await;

    // The events of two bots are fetched together, and the page shows what travelled in which batch.
    bot::register(&mut dev.bots().await, "second").await;
    browser.until("[...document.querySelectorAll('#story > li')].some((one) => one.querySelector('strong')?.textContent === 'batch' && one.querySelectorAll('ol > li').length === 2)").await;

    // Delivery is changed by the gateway, and events come the other way.
    browser.eval("((modes) => { modes.value = 'webhook'; modes.dispatchEvent(new Event('change')); })(document.querySelector('#modes select'))").await;
    browser.until("world.bots[0].mode === 'webhook' && document.querySelector('#modes select').value === 'webhook'").await;
    write(&mut browser, "/weather Oslo").await;
    browser
        .until(&last(
            "last.querySelector('.text').innerText.startsWith('Oslo')",
        ))
        .await;
    browser
        .until("document.body.innerText.includes('posted ONIMBOTV2COMMANDADD')")
        .await;
    browser
        .eval("document.querySelector('details.switches').open = true")
        .await;
    can_be_used_by_everybody(&mut browser, "switches", &LOOKS).await;

    assert_eq!(browser.complaints, Vec::<String>::new());
    // What must not pass, or nothing was looked at.
    browser
        .eval("document.body.append(document.createElement('button')); 1")
        .await;
    assert!(browser.serious().await.concat().contains("button-name"));
    browser.leave().await;
    drop(bot);
    let (code, _, errors) = dev.stop("INT").await;
    assert_eq!(code, Some(0));
    // The answer that met the fault, and nothing else.
    let expected = |line: &str| line.contains("AnswerCommand") && line.contains("ACCESS_DENIED");
    assert!(
        errors.lines().count() == 1 && errors.lines().all(expected),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser: run .ci/pages"]
async fn hostile_text_is_shown_and_does_nothing() {
    let desk = Desk::new().await;
    let dev = Developing::of(&desk, &[]).await;
    let _bot = Bot::start(dev.bots().await).await;
    let page = Requests::of(dev.page());
    let name =
        json!({"first_name": HOSTILE[0], "last_name": HOSTILE[3], "work_position": HOSTILE[1]});
    let user = page.post("/api/users", &name).await["id"].as_i64().unwrap();
    let chat = json!({"title": format!("\u{202e}{}", HOSTILE[0]), "members": [3, user]});
    let chat = page.post("/api/chats", &chat).await["dialog_id"].clone();
    for text in HOSTILE.into_iter().chain([
        &*"<svg/onload=alert(1)>[b]".repeat(833),
        &*"\u{202e}ж".repeat(10_000),
    ]) {
        page.post(
            &format!("/api/users/{user}/types"),
            &json!({"dialog": chat, "text": text}),
        )
        .await;
    }
    let mut browser = Browser::open(dev.page()).await;
    choose(&mut browser, HOSTILE[0]).await;
    browser
        .until("document.querySelectorAll('article').length === 8")
        .await;
    can_be_used_by_everybody(&mut browser, "hostile", &LOOKS[..2]).await;
    choose(&mut browser, "Weather").await;
    write(&mut browser, "/hostile").await;
    browser.until(&last("last.classList.contains('bot')")).await;
    browser
        .eval("[...document.querySelectorAll('#messages .press')].at(-1)?.click()")
        .await;
    browser
        .until(&last("last.classList.contains('mine')"))
        .await;
    can_be_used_by_everybody(&mut browser, "hostile-bot", &LOOKS[..2]).await;

    for (what, expression) in [
        ("nothing ran", "window.pwned === undefined"),
        (
            "the page has its own script only",
            "document.scripts.length === 1",
        ),
        (
            "nothing is loaded or framed",
            "!document.querySelector('#messages :is(img, iframe, svg, script, style, object, embed, form, link)')",
        ),
        (
            "nothing carries a handler",
            "[...document.querySelectorAll('*')].every((one) => one.getAttributeNames().every((name) => !name.startsWith('on')))",
        ),
        (
            "links lead to the web",
            "[...document.querySelectorAll('a:not(.skip)')].every((one) => ['http:', 'https:'].includes(new URL(one.href).protocol))",
        ),
        (
            "what is written is there",
            "document.body.innerText.includes('<script>window.pwned')",
        ),
    ] {
        assert_eq!(browser.eval(expression).await, true, "{what}");
    }
    assert_eq!(browser.complaints, Vec::<String>::new());
    browser.leave().await;
    dev.stop("INT").await;
}
