package main

import (
	"context"
	"testing"
)

// The bot as people know it, against the real gateway and a simulated Bitrix24.
func TestBotSaysHello(t *testing.T) {
	bitrix24 := startBitrix24(t)
	stopping, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(stopping, bitrix24.gateway) }()

	anna := bitrix24.user("Anna")
	bot := bitrix24.bot(code, "hello")
	bitrix24.types(anna, bot, "/hello Anna")
	bitrix24.answered(anna, bot, "Hello, Anna!")

	bitrix24.losesAnswerOnce("imbot.v2.Command.answer")
	bitrix24.types(anna, bot, "/hello one")
	bitrix24.types(anna, bot, "/hello two")
	bitrix24.answered(anna, bot, "Hello, Anna!", "Hello, one!", "Hello, two!")

	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
