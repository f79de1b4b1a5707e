// A web server in Rust, for tests/system/test_binaries.py: a thread for each connection, a panic that is
// caught, thread-local storage.
use std::cell::Cell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

thread_local!(static SERVED: Cell<u32> = Cell::new(0));

fn catch() -> String {
    let caught = std::panic::catch_unwind(|| {
        let list = vec![1, 2, 3];
        list[std::env::args().count() + 10]
    });
    format!("caught: {}\n", caught.is_err())
}

fn spread() -> String {
    let sums = Arc::new(Mutex::new(HashMap::new()));
    let threads: Vec<_> = (0..8u64)
        .map(|i| {
            let sums = sums.clone();
            thread::spawn(move || {
                let sum = (0..10000u64).fold(i, |a, b| a.wrapping_mul(31).wrapping_add(b));
                sums.lock().unwrap().insert(i, sum);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let count = sums.lock().unwrap().len();
    format!("threads: {}\n", count)
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut request, mut line) = (String::new(), String::new());
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        SERVED.with(|served| served.set(served.get() + 1));
        let path = request.split(' ').nth(1).unwrap_or("/");
        let body = match path {
            "/hello.txt" => "Hello, world!\n".to_string(),
            "/catch" => catch(),
            "/threads" => spread(),
            "/served" => format!("{}\n", SERVED.with(|served| served.get())),
            "/exit" => std::process::exit(4),
            _ => format!("no {}\n", path),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes())?;
    }
}

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80")?;
    println!("serving on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || serve(stream));
    }
    Ok(())
}
