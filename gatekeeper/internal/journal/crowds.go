package journal

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/riverqueue/river"
)

// A repository has at most three quarters of a lane's workers in this process;
// the others are for other repositories. What comes of it beyond that goes
// behind everything else, once. When it comes to the front again nothing else
// waits, and a worker waits with it for a place, for a moment: as soon as one
// of its repository is done it goes on, and what others push meanwhile waits
// no longer than that. So few jobs are put back, however many wait.

// crowdPatience is how long a worker waits with a job for a place.
const crowdPatience = 250 * time.Millisecond

// mostOf is how many of a lane's workers one repository may have.
func mostOf(workers int) int { return max(1, workers-(workers+3)/4) }

// workersOf says how many workers a lane has.
func (j *Journal) workersOf(lane string) int {
	if lane == laneSlow {
		return j.slowWorkers()
	}
	return j.deps.Workers
}

// behind puts a job of a crowded repository behind the others: first behind
// those of its lane that came earlier, then to the end.
func (j *Journal) behind(t turnOf, job *river.Job[judgeArgs]) next {
	n := next{
		state: t.before, attempt: t.push.Attempt, problem: t.problem, judgedBy: t.judgedBy, again: j.deps.Now(),
		lane: job.Queue, priority: priorityLast, rank: rankOf(job),
	}
	if job.Priority == priorityLast {
		n.again = n.again.Add(time.Millisecond) // which is ranked by the database's clock
	}
	return n
}

// crowd is what comes of one repository in one lane.
type crowd struct{ lane, source, repository string }

// crowds counts the jobs of crowds that are under way.
type crowds struct {
	mu     sync.Mutex
	places map[crowd]*places
}

type places struct {
	taken chan struct{} // one for each
	users int
}

func newCrowds() crowds { return crowds{places: map[crowd]*places{}} }

var errCrowded = errors.New("the repository has enough workers")

// join waits for a place among at most so many, as long as patience lasts.
func (c *crowds) join(ctx context.Context, of crowd, most int, patience time.Duration) (leave func(), err error) {
	p := c.enter(of, most)
	select {
	case p.taken <- struct{}{}:
	default:
		if err := p.wait(ctx, patience); err != nil {
			c.leave(of, p)
			return nil, err
		}
	}
	return func() {
		<-p.taken
		c.leave(of, p)
	}, nil
}

func (p *places) wait(ctx context.Context, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p.taken <- struct{}{}:
		return nil
	case <-timer.C:
		return errCrowded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *crowds) enter(of crowd, most int) *places {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.places[of]
	if p == nil {
		p = &places{taken: make(chan struct{}, most)}
		c.places[of] = p
	}
	p.users++
	return p
}

func (c *crowds) leave(of crowd, p *places) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.users--; p.users == 0 {
		delete(c.places, of)
	}
}
