package azuredevops_test

import (
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/gateway/internal/azuredevops"
)

// TestNearMissTakesNoLonger: how long a refusal takes does not tell how much of a password
// was right. Of 10,000 pairs of samples, in any order, the medians are compared; a
// comparison that ends at the first difference is off by a tenth and more, each time.
func TestNearMissTakesNoLonger(t *testing.T) { //nolint:paralleltest // what runs beside it would be measured, too.
	const (
		samples = 10_000
		each    = 40
		same    = 0.04
	)
	hook := azuredevops.NewHook(credentials(current))
	shows := func(password string) *http.Request {
		r := request(t, "")
		r.SetBasicAuth(user, password)
		return r
	}
	near, far := shows(current[:63]+"1"), shows("d"+current[1:])
	take := func(r *http.Request) time.Duration {
		began := time.Now()
		for range each {
			if hook.Authenticate(r) == nil {
				t.Fatal("a wrong password was let in")
			}
		}
		return time.Since(began)
	}
	median := func(v []time.Duration) float64 { slices.Sort(v); return float64(v[len(v)/2]) }
	measure := func() float64 {
		nears, fars := make([]time.Duration, samples), make([]time.Duration, samples)
		for i := range samples {
			if rand.IntN(2) == 0 {
				nears[i], fars[i] = take(near), take(far)
			} else {
				fars[i], nears[i] = take(far), take(near)
			}
		}
		return median(nears) / median(fars)
	}
	var ratios []float64
	for range 3 {
		ratio := measure()
		if math.Abs(ratio-1) <= same {
			return
		}
		ratios = append(ratios, ratio)
	}
	t.Errorf("a near miss takes %.3f times as long as a wrong password", ratios)
}
