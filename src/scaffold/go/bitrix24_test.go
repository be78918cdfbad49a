package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that should happen.
const patience = 30 * time.Second

// bitrix24 is a simulated portal and a gateway for it. Needs the binary `bitrix24-gateway`, named by
// BITRIX24_GATEWAY_BIN or in PATH.
type bitrix24 struct {
	t       *testing.T
	portal  string // the control interface of the portal, see tests/sim/README.md of the gateway
	gateway string // host:port for the bot
}

type object = map[string]interface{}

// startBitrix24 starts both; they end with the test.
func startBitrix24(t *testing.T) *bitrix24 {
	folder := t.TempDir()
	binary := os.Getenv("BITRIX24_GATEWAY_BIN")
	if binary == "" {
		binary = "bitrix24-gateway"
	}
	// No test may reach a real portal.
	var plain []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "BITRIX24_GATEWAY") {
			plain = append(plain, pair)
		}
	}
	line := start(t, exec.Command(binary, "sim", "--no-limits", "--dir", folder), plain, regexp.MustCompile(`^(\{.*\})$`))
	var facts struct {
		Control    string
		Portal     int
		WebhookURL string `json:"webhook_url"`
		CAFile     string `json:"ca_file"`
	}
	if err := json.Unmarshal([]byte(line), &facts); err != nil {
		t.Fatal(err)
	}
	settings := append(plain,
		"BITRIX24_GATEWAY__WEBHOOK_URL="+facts.WebhookURL,
		"BITRIX24_GATEWAY__OUTBOUND__CA_FILE="+facts.CAFile,
		"BITRIX24_GATEWAY__STORE__DIR="+filepath.Join(folder, "store"),
		"BITRIX24_GATEWAY__STORE__KEY_FILE="+filepath.Join(folder, "keys"),
		"BITRIX24_GATEWAY__GRPC__LISTEN=127.0.0.1:0",
		"BITRIX24_GATEWAY__ADMIN__LISTEN=",
		"BITRIX24_GATEWAY__RATE__REQUESTS_PER_SECOND=0",
		"BITRIX24_GATEWAY__POLLING__BUSY_PAUSE=100ms",
		"BITRIX24_GATEWAY__POLLING__IDLE_PAUSE=100ms")
	ready := regexp.MustCompile(`gateway is ready.* grpc\.address=(\S+)`)
	return &bitrix24{
		t:       t,
		portal:  fmt.Sprintf("%s/portals/%d", facts.Control, facts.Portal),
		gateway: start(t, exec.Command(binary, "serve"), settings, ready),
	}
}

// start starts a process and waits for this in its output.
func start(t *testing.T, command *exec.Cmd, env []string, wanted *regexp.Regexp) string {
	t.Helper()
	command.Env = env
	output, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = to, to
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	to.Close()
	found, ended := make(chan string, 1), make(chan struct{})
	go func() { // reads to the end: a full pipe would stop the process
		defer close(ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if match := wanted.FindStringSubmatch(lines.Text()); match != nil {
				select {
				case found <- match[1]:
				default:
				}
			}
		}
		io.Copy(io.Discard, output)
	}()
	t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM)
		command.Wait()
	})
	select {
	case match := <-found:
		return match
	case <-ended:
	case <-time.After(patience):
	}
	t.Fatalf("%v is not ready", command.Args)
	return ""
}

// ask asks the control interface of the portal.
func (b *bitrix24) ask(verb, path string, body object) object {
	b.t.Helper()
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body)
	}
	request, err := http.NewRequest(verb, b.portal+"/"+path, bytes.NewReader(text))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("content-type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer object
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode >= 300 {
		b.t.Fatalf("%s %s: %s %v %v", verb, path, response.Status, answer, err)
	}
	return answer
}

// until waits until something holds.
func (b *bitrix24) until(what string, holds func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("it never came about that %s", what)
		}
	}
}

// user is a new person of the portal.
func (b *bitrix24) user(firstName string) int {
	return int(b.ask("POST", "users", object{"first_name": firstName})["id"].(float64))
}

// bot is the bot of this code, as soon as it has registered itself and this command.
func (b *bitrix24) bot(code, command string) (id int) {
	b.t.Helper()
	b.until("the bot registered itself", func() bool {
		for _, bot := range b.ask("GET", "bots", nil)["bots"].([]interface{}) {
			if bot.(object)["code"] == code {
				id = int(bot.(object)["id"].(float64))
				known := b.ask("GET", fmt.Sprintf("bots/%d/commands", id), nil)["commands"].([]interface{})
				for _, it := range known {
					if it.(object)["name"] == command {
						return true
					}
				}
			}
		}
		return false
	})
	return id
}

// types writes to a bot in private.
func (b *bitrix24) types(user, bot int, text string) {
	b.t.Helper()
	b.ask("POST", fmt.Sprintf("users/%d/types", user), object{"dialog": fmt.Sprint(bot), "text": text})
}

// answered waits until these are all answers that the person read.
func (b *bitrix24) answered(user, bot int, texts ...string) {
	b.t.Helper()
	b.until(fmt.Sprintf("the bot answered %q", texts), func() bool {
		var read []string
		for _, it := range b.ask("GET", fmt.Sprintf("messages?dialog=%d:%d", user, bot), nil)["messages"].([]interface{}) {
			if message := it.(object); int(message["author_id"].(float64)) == bot {
				read = append(read, message["text"].(string))
			}
		}
		return reflect.DeepEqual(read, texts)
	})
}

// losesAnswerOnce: the next call of this REST method takes effect, but the connection breaks before its answer.
func (b *bitrix24) losesAnswerOnce(method string) {
	b.t.Helper()
	b.ask("POST", "faults", object{"kind": "reset", "method": method, "when": "after"})
}
