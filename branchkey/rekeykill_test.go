package branchkey

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk/awskms"
)

// For 200 kills: go test -run RekeySurvivesKill -v . -kills 200
var kills = flag.Int("kills", 8, "how `often` TestRekeySurvivesKill kills")

// rekeyerEnv makes this test binary re-key a branch key until it is killed.
const rekeyerEnv = "BRANCHKEY_TEST_REKEYER"

// A rekeyerProcess is the configuration of such a process, as JSON.
type rekeyerProcess struct {
	Storage, DynamoDBURL, KMSURL string // the storage is a table if there is a URL
	ID                           string
	KMSKeys                      [2]string
}

func (p *rekeyerProcess) store() (*Store, error) {
	storage, err := NewFileStorage(p.Storage)
	if p.DynamoDBURL != "" {
		storage, err = NewDynamoDBStorage(newDynamoDBClient(p.DynamoDBURL), p.Storage)
	}
	if err != nil {
		return nil, err
	}
	return NewStore(Config{
		Storage: storage, LogicalName: "logical", KMS: KMSConfig{KeyARN: p.KMSKeys[0], Former: p.KMSKeys[1:]},
		Clients: awskms.FixedClient(kms.New(kms.Options{Region: region, BaseEndpoint: &p.KMSURL, Credentials: modelCredentials})),
	})
}

// rekeyUntilKilled re-keys from one KMS key to the other and back, and creates
// a version now and then.
func rekeyUntilKilled(text string) {
	var p rekeyerProcess
	err := json.Unmarshal([]byte(text), &p)
	var s *Store
	if err == nil {
		s, err = p.store()
	}
	fmt.Println("begins")
	for n := 0; err == nil; n++ {
		if _, err = s.RekeyBranchKey(context.Background(), p.ID, p.KMSKeys[n%2]); err == nil && n%8 == 7 {
			err = s.VersionKey(context.Background(), p.ID)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

// A process that is killed while it re-keys leaves the branch key readable for
// readers that know both keys, and ready to be re-keyed.
func TestRekeySurvivesKill(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT run: -short is set")
	}
	eachBackend(t, func(t *testing.T, b backend) {
		k, storage := newKMS(t), b.new(t)
		second := k.another()
		id := k.newVersions(t, k.newStore(t, storage), 12)
		p := &rekeyerProcess{Storage: storage.Name(), KMSURL: k.URL(), ID: id, KMSKeys: [2]string{second, k.arn}}
		if b.name != "file" {
			p.DynamoDBURL = os.Getenv("ESDK_DYNAMODB_URL")
		}
		r := k.rekeyer(t, storage, second)
		secrets := secretsOf(t, r, id)
		half := 0
		for round := range *kills {
			killRekeyer(t, p, time.Duration(rand.Int64N(int64(300*time.Millisecond))))
			if p.DynamoDBURL != "" {
				time.Sleep(100 * time.Millisecond) // the server may still be executing the process's requests
			}
			now := secretsOf(t, r, id)
			versions := len(now) - len(secrets)
			for itemType, secret := range secrets {
				if now[itemType] != secret && itemType != activeType {
					t.Fatalf("round %d: %s has another secret", round, itemType)
				}
			}
			if versions < 0 || now[activeType] != now[itemsNow(t, storage, id)[activeType].Attributes[versionAttribute]] {
				t.Fatalf("round %d: %d versions more; the active one is another", round, versions)
			}
			left := ok[int](t)(r.RekeyBranchKey(t.Context(), id, second))
			if left > 0 && left < len(now) {
				half++
			}
			wantKMSKey(t, storage, id, second)
			if !maps.Equal(secretsOf(t, r, id), now) {
				t.Fatalf("round %d: other secrets when it was re-keyed", round)
			}
			secrets = now
		}
		t.Logf("%d kills, %d of them in the midst of the items; %d versions", *kills, half, len(secrets)-2)
		if *kills > 5 && half == 0 {
			t.Error("no process was killed in the midst")
		}
	})
}

// killRekeyer runs a process that re-keys, and kills it some time after it
// began.
func killRekeyer(t *testing.T, p *rekeyerProcess, after time.Duration) {
	t.Helper()
	cmd := exec.Command(ok[string](t)(os.Executable()))
	cmd.Env = append(os.Environ(), rekeyerEnv+"="+string(ok[[]byte](t)(json.Marshal(p))))
	out := ok[*os.File](t)(os.CreateTemp(t.TempDir(), "out"))
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	awaitOutput(out)
	time.Sleep(after)
	must(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() > 0 {
		t.Fatalf("the process ended by itself: %s", ok[[]byte](t)(os.ReadFile(out.Name())))
	}
}
