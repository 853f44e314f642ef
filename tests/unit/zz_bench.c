#include <store/store.h>
#include <time.h>
#include <sys/resource.h>
#include "topic_rig.h"
static double now(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return (double)t.tv_sec+(double)t.tv_nsec*1e-9;}
static double cpu(void){struct timespec t;clock_gettime(CLOCK_THREAD_CPUTIME_ID,&t);return (double)t.tv_sec+(double)t.tv_nsec*1e-9;}
static double pcpu(void){struct timespec t;clock_gettime(CLOCK_PROCESS_CPUTIME_ID,&t);return (double)t.tv_sec+(double)t.tv_nsec*1e-9;}
static _Atomic int left;
static void done(void*c,cairn_err e,const cairn_at*a,const cairn_error*x){(void)c;(void)a;(void)x;if(e!=CAIRN_OK)abort();left--;}
int main(int argc,char**argv){
 (void)argc;
 uint32_t count=(uint32_t)atoi(argv[1]), size=(uint32_t)atoi(argv[2]), keys=(uint32_t)atoi(argv[3]), rounds=(uint32_t)atoi(argv[4]);
 char path[64]; test_folder(path);
 cairn_options options={.create=true};
 cairn_store*store; CHECK_OK(cairn_open(path,&options,&store,NULL));
 cairn_topic_ref*ref=rig_make_topic(store,"my-orders",1); cairn_uuid id=cairn_topic_of(ref)->id;
 char*value=malloc(size);memset(value,'x',size);
 int nb= keys? (int)((keys+count-1)/count):1; struct batch_maker *makers=calloc((size_t)nb,sizeof*makers);
 uint32_t k=0;
 for(int b=0;b<nb;b++){batch_make_begin(&makers[b]);
  for(uint32_t i=0;i<count;i++){char kt[32];snprintf(kt,32,"customer%06u",keys?(k++*7919u)%keys:0);cairn_str key=cairn_cstr(kt),v={value,size};
   CHECK(batch_make_add(&makers[b],i,1700000000000,keys?&key:NULL,&v,NULL,0));}
  CHECK(batch_make_end(&makers[b],BATCH_PLAIN,0,(int64_t)count-1));}
 double *each=calloc(rounds,8); double t0=now(),p0=pcpu(),spent=0;
 for(uint32_t r=0;r<rounds;r++){
  cairn_batch batch={id,0,buf_str(&makers[r%(uint32_t)nb].out),NULL};
  cairn_append_request q={.batches=&batch,.batch_count=1,.system=true};
  left++;
  double c=cpu(); cairn_err e;
  while((e=cairn_append_async(store,&q,done,NULL,NULL))==CAIRN_E_BUSY){ c=cpu(); struct timespec ts={0,100000};nanosleep(&ts,NULL);}
  CHECK_OK(e); each[r]=cpu()-c; spent+=each[r];
 }
 while(left>0){struct timespec ts={0,100000};nanosleep(&ts,NULL);}
 for(uint32_t i=1;i<rounds;i++)for(uint32_t j=i;j>0&&each[j]<each[j-1];j--){double x=each[j];each[j]=each[j-1];each[j-1]=x;} printf("min %.3f p25 %.3f median %.3f ms\n",each[0]*1e3,each[rounds/4]*1e3,each[rounds/2]*1e3);
 double t=now()-t0,p=pcpu()-p0; double n=(double)count*rounds;
 printf("%u x %u B keys %u: append_async %.3f ms a batch (%.0f ns/event); wall %.2f s: %.2f M events/s; process cpu %.2f s: %.2f M events/s a core\n",count,size,keys,spent/rounds*1e3,spent/n*1e9,t,n/t/1e6,p,n/p/1e6);
 cairn_partition_reader*reader;cairn_partition_item item;
 CHECK_OK(cairn_read_partition(store,0,&id,0,0,&reader,NULL));
 t0=now();uint64_t ev=0;while(cairn_partition_next(reader,&item,NULL)==CAIRN_OK)ev+=item.last_offset-item.first_offset+1;
 printf("read %llu events in %.3f s: %.1f M/s\n",(unsigned long long)ev,now()-t0,(double)ev/(now()-t0)/1e6);
 t0=now();cairn_partition_info info;for(int i=0;i<100000;i++)CHECK_OK(cairn_partition_get(store,0,&id,0,&info,NULL));
 printf("partition_get %.0f ns\n",(now()-t0)*1e4);
 cairn_close(store);test_remove(path);return 0;}
