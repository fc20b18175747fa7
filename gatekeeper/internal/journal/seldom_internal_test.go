package journal

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAMessageIsSaidOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(newSeldom(slog.NewTextHandler(&out, nil), slog.LevelWarn))
		for range 30 {
			log.Error("cannot fetch")
			log.With("queue", "slow").WithGroup("g").Error("cannot fetch", "n", 1)
			log.Info("too quiet")
		}
		log.Error("something else")
		<-time.After(seldomInterval)
		log.Error("cannot fetch")
		if fetch, all := strings.Count(out.String(), "cannot fetch"), strings.Count(out.String(), "\n"); fetch != 2 || all != 3 {
			t.Errorf("it said\n%s", &out)
		}
	})
}
