package embedded

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"github.com/sirupsen/logrus"
)

// quiet keeps Distribution's own log, which goes to logrus's global logger and
// names the secret of the notification endpoint at level info, out of ours.
// Its errors remain, at level debug: most are answers to clients (a manifest
// that is not there).
var quiet = func() func(*slog.Logger) { //nolint:gochecknoglobals // logrus's standard logger is itself global; it is changed once
	var once sync.Once
	return func(log *slog.Logger) {
		once.Do(func() {
			logrus.SetOutput(io.Discard)
			logrus.SetLevel(logrus.ErrorLevel)
			logrus.AddHook(forward{log})
		})
	}
}()

// forward is a logrus hook that hands errors to slog.
type forward struct{ log *slog.Logger }

// Levels implements logrus.Hook.
func (forward) Levels() []logrus.Level {
	return []logrus.Level{logrus.ErrorLevel, logrus.FatalLevel, logrus.PanicLevel}
}

// Fire implements logrus.Hook.
func (f forward) Fire(e *logrus.Entry) error {
	f.log.DebugContext(context.Background(), "embedded registry", slog.String("detail", e.Message))
	return nil
}
