// A Bitrix24 bot: somebody types `/hello World` in a chat, and it answers `Hello, World!`.
//
// It keeps nothing itself, may be killed at any moment, and may run any number of times: the gateway hands each command
// to one of these workers, and again to another one until it is answered. Of all their answers at most one is posted.
package main

import (
	"context"
	_ "embed"
	"log"
	"math/rand"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "example.com/@PACKAGE@/gen/bitrix24/gateway/v1" // made by generate.sh
)

const (
	// code names the bot for good, in the whole portal.
	code = "@BOT@"
	// name is what people see.
	name = "@NAME@"
	// workers is how many commands are in hand at once.
	workers = 10
)

var commands = map[string]string{"hello": "Say hello"}

// answer is what the bot says to a command.
func answer(command, params string) string {
	if params == "" {
		params = "World"
	}
	return "Hello, " + params + "!"
}

// It repeats only what is safe to repeat.
//
//go:embed service-config.json
var serviceConfig string

// bot is one worker. stopping ends when it is to stop.
type bot struct {
	bots     pb.BotServiceClient
	events   pb.EventServiceClient
	stopping context.Context
}

// passes says whether another try is worth it: this bot makes no call that must not be repeated.
func passes(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Unknown:
		return true
	}
	return false
}

// explain logs why a call failed, with its reason, an `ErrorReason` of errors.proto, and says whether it was executed.
func explain(err error) string {
	reason, executed := "-", "?" // when the gateway did not answer at all
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			reason = info.GetReason()
			if told, ok := info.GetMetadata()["executed"]; ok {
				executed = told
			}
		}
	}
	log.Printf("%s %s executed=%s: %s", status.Code(err), reason, executed, status.Convert(err).Message())
	return executed
}

// pause waits longer and longer, and not the same in all workers.
func (b *bot) pause(tries int) {
	longest := 30 * time.Second
	if tries < 5 {
		longest = time.Second << tries
	}
	select {
	case <-b.stopping.Done():
	case <-time.After(longest/2 + time.Duration(rand.Int63n(int64(longest/2)))):
	}
}

// register makes sure that bot and commands exist; safe to repeat at every start.
func (b *bot) register() error {
	label := name
	_, err := b.bots.RegisterBot(b.stopping, &pb.RegisterBotRequest{
		BotCode:    code,
		IfExists:   pb.IfExists_IF_EXISTS_CONVERGE,
		Properties: &pb.BotProperties{Name: &label},
	})
	for command, title := range commands {
		if err != nil {
			return err
		}
		_, err = b.bots.RegisterCommand(b.stopping, &pb.RegisterCommandRequest{
			BotCode:  code,
			IfExists: pb.IfExists_IF_EXISTS_CONVERGE,
			Command:  command,
			Title:    map[string]string{"en": title},
		})
	}
	if err == nil {
		log.Printf("%s is ready", code)
	}
	return err
}

// post posts the answer. At most one is posted, so this is tried until the outcome is certain.
func (b *bot) post(item *pb.SubscribeCommandEventsResponse, text string) error {
	trace := item.GetEvent().GetTraceContext().GetTraceparent() // empty: not traced
	ctx := metadata.AppendToOutgoingContext(context.Background(), "traceparent", trace)
	request := &pb.AnswerCommandRequest{
		Target:  &pb.AnswerCommandRequest_AckId{AckId: item.GetDelivery().GetAckId()},
		Content: &pb.MessageContent{Text: text},
	}
	for tries := 0; ; tries++ {
		limited, cancel := context.WithTimeout(ctx, 30*time.Second)
		response, err := b.bots.AnswerCommand(limited, request, grpc.WaitForReady(true))
		cancel()
		if err == nil {
			log.Print(response.GetOutcome())
			return nil
		}
		// E.g. ANSWER_WINDOW_CLOSED or ANSWER_OUTCOME_UNKNOWN, which no repeat would change.
		executed := explain(err)
		if executed != "no" && executed != "?" || !passes(err) || b.stopping.Err() != nil {
			return err
		}
		b.pause(tries)
	}
}

// handle answers one command, or gives it back.
func (b *bot) handle(item *pb.SubscribeCommandEventsResponse) {
	command := item.GetEvent().GetCommandAdded().GetCommand()
	ids := []string{item.GetDelivery().GetAckId()}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, known := commands[command.GetCommand()]; !known { // of another version of this bot
		if _, err := b.events.AcknowledgeEvents(ctx, &pb.AcknowledgeEventsRequest{AckIds: ids}); err != nil {
			explain(err)
		}
		return
	}
	if err := b.post(item, answer(command.GetCommand(), command.GetParams())); err != nil {
		log.Print("given back: it comes again, or is set aside for somebody to look at")
		back := &pb.ModifyAckDeadlinesRequest{AckIds: ids, AckDeadline: durationpb.New(0)}
		if _, err := b.events.ModifyAckDeadlines(ctx, back); err != nil {
			explain(err)
		}
	}
}

// read hands commands to handle as they come; it ends only with an error.
func (b *bot) read(inHand *sync.WaitGroup) (came bool, err error) {
	stream, err := b.bots.SubscribeCommandEvents(b.stopping, &pb.SubscribeCommandEventsRequest{
		BotCodes:     []string{code},
		Subscription: &pb.NamedSubscription{Name: code, MaxOutstandingEvents: workers}, // shared by all workers
	})
	for err == nil {
		var item *pb.SubscribeCommandEventsResponse
		if item, err = stream.Recv(); err != nil {
			break
		}
		came = true
		if item.GetEvent() != nil {
			inHand.Add(1)
			go func() {
				defer inHand.Done()
				b.handle(item)
			}()
		}
		if gap := item.GetGap(); gap != nil {
			log.Printf("commands may be missing: %v", gap)
		}
	}
	return came, err
}

// run works until it is to stop, and finishes then what is in hand.
func run(stopping context.Context, address string) error {
	reconnecting := backoff.DefaultConfig
	reconnecting.MaxDelay = 10 * time.Second // in place of two minutes
	connection, err := grpc.Dial(address, grpc.WithInsecure(),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnecting, MinConnectTimeout: 20 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second}))
	if err != nil {
		return err
	}
	defer connection.Close()
	var inHand sync.WaitGroup
	defer inHand.Wait()
	stopping, stop := context.WithCancel(stopping) // also when it gives up by itself
	defer stop()
	b := &bot{pb.NewBotServiceClient(connection), pb.NewEventServiceClient(connection), stopping}
	registered := false
	for tries := 0; ; tries++ {
		if !registered {
			err = b.register()
			registered = err == nil
		}
		if registered {
			var came bool
			if came, err = b.read(&inHand); came {
				tries = 0
			}
		}
		if stopping.Err() != nil {
			log.Print("stopping: what is in hand is finished first")
			return nil
		}
		if explain(err); !passes(err) {
			return err
		}
		b.pause(tries)
	}
}

func main() {
	stopping, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	address := os.Getenv("GATEWAY")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	if err := run(stopping, address); err != nil {
		log.Fatal(err)
	}
	log.Print("stopped")
}
