package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	sqlitedriver "github.com/glebarez/go-sqlite"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// trouble is what is wrong with the storage, in the words of who has to mend
// it, with the remedy. /readyz shows it.
type trouble struct {
	words string
	cause error
}

// Error implements error. It is one line, and holds no secret.
func (t *trouble) Error() string { return t.words }

// Unwrap returns what the database said.
func (t *trouble) Unwrap() error { return t.cause }

// The primary result codes of SQLite that an operator can do something about
// (sqlite.org/rescode.html); the upper bits say more.
const (
	sqlitePrimary  = 0xff
	sqliteReadOnly = 8
	sqliteIOErr    = 10
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

// inFile and atServer name the place of what is not understood.
func inFile(path string, err error) error {
	err = explainFile(path, err)
	if _, explained := errors.AsType[*trouble](err); explained {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

func atServer(err error) error {
	err = explainServer(err)
	if _, explained := errors.AsType[*trouble](err); explained {
		return err
	}
	return fmt.Errorf("PostgreSQL: %w", err)
}

// explainFile says what is wrong with a file that holds a journal.
func explainFile(path string, err error) error {
	if _, explained := errors.AsType[*trouble](err); explained || err == nil {
		return err
	}
	words := ""
	own, isSQLite := errors.AsType[*sqlitedriver.Error](err)
	switch {
	case isSQLite:
		words = fileTrouble(own.Code() & sqlitePrimary)
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		words = fileTrouble(sqliteFull)
	case errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission):
		words = fileTrouble(sqliteReadOnly)
	}
	if words == "" {
		return err
	}
	return &trouble{words: fmt.Sprintf("%s: %s (%v)", path, words, err), cause: err}
}

func fileTrouble(code int) string {
	switch code {
	case sqliteFull:
		return "the disk is full; free some space, and the work goes on by itself"
	case sqliteReadOnly, sqliteCantOpen:
		return "the file cannot be written; mount its folder read-write, and let the service's user write to the folder and all that is in it"
	case sqliteIOErr:
		return "the disk cannot be read or written; look at its health and at the system's log"
	case sqliteCorrupt, sqliteNotADB:
		return "this is no sound database; put a backup in its place"
	}
	return ""
}

// explainServer says what is wrong with a PostgreSQL server.
func explainServer(err error) error {
	if _, explained := errors.AsType[*trouble](err); explained || err == nil {
		return err
	}
	place := "PostgreSQL"
	connect, unconnected := errors.AsType[*pgconn.ConnectError](err)
	if unconnected {
		place = placeOf(connect.Config)
	}
	said, answered := errors.AsType[*pgconn.PgError](err)
	switch {
	case answered:
		remedy := serverRemedy(said.Code)
		if !unconnected && remedy == "" {
			return err // one of our queries, not the server's state
		}
		return &trouble{words: strings.TrimSuffix(fmt.Sprintf("%s: %s (SQLSTATE %s); %s", place, said.Message, said.Code, remedy), "; "), cause: err}
	case unconnected:
		return &trouble{words: place + " cannot be reached: " + dialTrouble(connect), cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &trouble{words: place + " does not answer in time; look at the server, its disk and the network", cause: err}
	}
	return err
}

// placeOf names a server without a password.
func placeOf(c *pgconn.Config) string {
	address := c.Host
	if !strings.HasPrefix(address, "/") { // a folder with a socket
		address = net.JoinHostPort(address, fmt.Sprint(c.Port))
	}
	return fmt.Sprintf("PostgreSQL at %s (database %s, user %s)", address, c.Database, c.User)
}

// dialTrouble is why there is no connection, without what pgx puts around it.
func dialTrouble(err error) string {
	if unknown, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("the name %s is not found; check storage.url", unknown.Name)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time; check storage.url and what is between here and there"
	}
	reason := ""
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		reason = op.Err.Error()
	}
	first, _, _ := strings.Cut(errors.Unwrap(err).Error(), "\n")
	return cmp.Or(reason, first) + "; check that the server runs, and storage.url"
}

// serverRemedy is what helps against an error of the server (PostgreSQL,
// appendix A).
func serverRemedy(code string) string {
	switch code {
	case "28P01", "28000":
		return "check the user of storage.url, storage.passwordFile or storage.passwordEnv, and the server's pg_hba.conf"
	case "3D000":
		return "create the database, or correct storage.url"
	case "42501":
		return "grant the user the right to create and change tables in the database's schema"
	case "53100":
		return "the server's disk is full; free some space, and the work goes on by itself"
	case "53300":
		return "the server has no connection left; raise its max_connections, or run fewer replicas"
	case "25006":
		return "the server takes no changes; name the primary in storage.url, or all servers and target_session_attrs=read-write"
	case "57P01", "57P02", "57P03":
		return "the server stops or starts; the work goes on by itself once it runs"
	}
	return ""
}
