// A web client and server: gohttp get URL TIMES | serve | both TIMES.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(url string) int {
	answer, err := http.Get(url)
	check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	check(err)
	return len(body)
}

// Asks so many times, from eight goroutines.
func many(url string, times int) int {
	work, sizes := make(chan bool), make(chan int, times)
	var workers sync.WaitGroup
	for i := 0; i < 8; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for range work {
				sizes <- get(url)
			}
		}()
	}
	for i := 0; i < times; i++ {
		work <- true
	}
	close(work)
	workers.Wait()
	first := <-sizes
	for i := 1; i < times; i++ {
		if size := <-sizes; size != first {
			check(fmt.Errorf("%d bytes, then %d", first, size))
		}
	}
	return first
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", ":0")
	check(err)
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		host, _, _ := net.SplitHostPort(request.RemoteAddr)
		fmt.Fprintf(answer, "you are %s\n", host)
	})
	return listener
}

func main() {
	switch os.Args[1] {
	case "get":
		times, err := strconv.Atoi(os.Args[3])
		check(err)
		fmt.Printf("%d answers of %d bytes\n", times, many(os.Args[2], times))
	case "serve":
		listener := listen()
		fmt.Println("listening on port", listener.Addr().(*net.TCPAddr).Port)
		check(http.Serve(listener, nil))
	case "both":
		listener := listen()
		go http.Serve(listener, nil)
		times, err := strconv.Atoi(os.Args[2])
		check(err)
		many(fmt.Sprintf("http://localhost:%d/", listener.Addr().(*net.TCPAddr).Port), times)
		fmt.Printf("%d answers from myself\n", times)
	}
}
